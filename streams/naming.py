"""The file of `GENAI_ROUTES`, read, and what chooses by it; light, since commands that only look read it too."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from providers import routes
from providers.base import Provider
from providers.marked import Broken
from providers.routes import Table
from streams.choosing import Router
from streams.errors import SpineError
from streams.settings import Settings

if TYPE_CHECKING:
    from agents.guards.rules import Rule


def load(settings: Settings, providers: Collection[str]) -> Table:
    """The file's routes; none without a file. Raises SpineError, which names the file and every place that is wrong."""
    if not settings.routes:
        return Table()
    path = Path(settings.routes).expanduser()
    try:
        return routes.parse(path.read_bytes(), str(path), providers, _rule)
    except OSError as error:
        raise SpineError(f"GENAI_ROUTES={settings.routes} cannot be read ({error.strerror}); mend the path.") from None
    except Broken as error:
        raise SpineError(f"The routes of GENAI_ROUTES cannot be used: {error}") from None


def _rule(words: str) -> "Rule":
    from agents.guards.rules import rule  # with every operation: most files have no guards

    return rule(words)


def make_router(settings: Settings, providers: Mapping[str, Provider]) -> Router:
    """With the routes as the file has them now."""
    return Router(
        providers,
        settings.default_provider,
        settings.default_model,
        settings.default_embed_model,
        load(settings, providers),
        moderation_model=settings.moderation_model,
    )
