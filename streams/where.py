"""Where Kafka and the ledger are; light to import, since most commands need nothing more."""

from typing import TYPE_CHECKING

from streams.broker.errors import NotRunning
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.security import Brokers


def ledger_url(settings: Settings) -> str:
    """Empty means a SQLite file in the data directory."""
    return settings.database_url or f"sqlite:///{settings.data() / 'genai.db'}"


def bootstrap(settings: Settings) -> "Brokers":
    """Where Kafka is, and how one is let in. Raises SpineError when nothing names a broker and no embedded one runs. Blocking."""
    from streams import security
    from streams.broker import control

    try:
        return security.brokers(settings, control.bootstrap(settings))
    except NotRunning as error:
        raise NotRunning(
            f"No Kafka broker runs on {settings.data() / 'kafka'}. Start one with `genai-spine broker start`, start "
            "everything with `genai-spine up`, or name yours in GENAI_KAFKA_BROKERS."
        ) from error
