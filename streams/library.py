"""The prompts of this installation: the shipped ones, and those of GENAI_PROMPTS_DIR."""

from pathlib import Path

from prompts import BadPromptFile, Library
from streams.errors import SpineError
from streams.settings import Settings


def load(settings: Settings) -> Library:
    """Read once, at the start of a process. Raises SpineError naming the file and the field that is wrong. Blocking."""
    folder = settings.prompts_dir
    try:
        return Library.load(beside=Path(folder).expanduser().resolve() if folder else None)
    except BadPromptFile as error:
        raise SpineError(f"GENAI_PROMPTS_DIR: {error}. Mend that, or name another folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpineError(f"Cannot read GENAI_PROMPTS_DIR={folder} ({error}). Name a folder of YAML files.") from error
