"""How long the ledger keeps what it could do without, by the settings."""

from store.ledger.room import Keep
from streams.settings import Settings


def keep(settings: Settings) -> Keep:
    """A setting of 0 days means for ever."""
    return Keep(
        settings.keep_bodies_days or None, settings.keep_journal_days or None, settings.keep_positions_days or None
    )
