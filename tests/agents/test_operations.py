"""Adding an operation touches one module, one schema, one prompt file, one test, one line in `OPERATIONS` and its name."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from agents import OPERATIONS, structured
from agents.base import Operation
from prompts import Library
from schemas.operations import NAMES

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
WITHOUT_PROMPT = {"complete", "embed", "execute_prompt"}
"""Their words come from the request, or the request names the prompt."""


def _stems(folder: str, prefix: str = "") -> set[str]:
    return {path.stem.removeprefix(prefix) for path in (ROOT / folder).glob(f"{prefix}*.py")}


def test_the_names_are_those_of_the_table():
    assert tuple(OPERATIONS) == NAMES


def test_each_line_of_the_table_is_its_modules_operation_with_its_schemas_words():
    for name, operation in OPERATIONS.items():
        module = importlib.import_module(f"agents.{name}")
        words = importlib.import_module(f"schemas.{name}")
        assert (operation.name, module.OPERATION, operation.input, operation.output) == (
            name,
            operation,
            words.Input,
            words.Output,
        )


def test_there_is_no_operation_module_or_schema_outside_the_table():
    modules = {name for name in _stems("agents") if "\nOPERATION = " in (ROOT / f"agents/{name}.py").read_text()}
    schemas = {name for name in _stems("schemas") if "class Input(" in (ROOT / f"schemas/{name}.py").read_text()}
    assert (modules, schemas) == (set(OPERATIONS), set(OPERATIONS))


def test_each_operation_has_its_test():
    assert set(OPERATIONS) <= _stems("tests/agents", "test_")


def test_each_operation_that_speaks_has_its_prompt():
    assert set(OPERATIONS) - WITHOUT_PROMPT <= set(Library.load().slugs())


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_names_every_prompt_by_which_it_asks(operation: Operation) -> None:
    """What it does not name could be said in other words while a request of it waits."""
    module = importlib.import_module(f"agents.{operation.name}")
    asked = set(re.findall(r'\.render\(\s*"(\w+)"', inspect.getsource(module)))
    asked |= {structured.REPAIR} if "structured" in vars(module) else set()
    assert asked <= set(operation.wordings) <= set(Library.load().slugs())
