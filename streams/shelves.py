"""The pipelines of this installation: the shipped ones, those of GENAI_PIPELINES_DIR and of GENAI_PIPELINES_MODULES."""

from pathlib import Path
from typing import TYPE_CHECKING

from agents.pipelines import defining
from agents.pipelines.defining import BadPipeline, Shelf
from agents.retrieval.files import Files
from streams.documents import bounds_of
from streams.errors import SpineError
from streams.settings import Settings

if TYPE_CHECKING:
    from store.database import Database


def load(settings: Settings, uploaded: Files | None = None, database: "Database | None" = None) -> Shelf:
    """Read once, at the start of a process. Raises SpineError that says file, line and column. Blocking.

    `uploaded`: where documents are that runs name; `database`: where their embeddings are kept. Who runs nothing needs neither.
    """
    folder = settings.pipelines_dir
    modules = [name.strip() for name in settings.pipelines_modules.split(",") if name.strip()]
    try:
        there = defining.shipped(bounds_of(settings), uploaded, database)
        return defining.load(Path(folder).expanduser().resolve() if folder else None, modules, there)
    except BadPipeline as error:
        raise SpineError(
            f"{error}\nMend that, or take it out of GENAI_PIPELINES_DIR or GENAI_PIPELINES_MODULES."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpineError(f"Cannot read GENAI_PIPELINES_DIR={folder} ({error}). Name a folder of YAML files.") from error
