"""Plain functions as steps."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from agents import OPERATIONS
from agents.base import InvalidInput
from agents.pipelines.functions import FUNCTIONS, BadFunction, Function, FunctionFailed, Run
from schemas.errors import ErrorType
from store.errors import Away

pytestmark = pytest.mark.fast
RUN = Run("default", "run_1")


@dataclass(frozen=True)
class Part:
    text: str
    start: int = 0


def halves(parts: Sequence[Part], many: bool = True) -> list[Part]:
    """Two of each."""
    return [Part(half, part.start) for part in parts for half in (part.text[:2], part.text[2:])]


async def refuses(text: str) -> str:
    raise InvalidInput(f"{text} is no document")


def breaks() -> None:
    raise ZeroDivisionError


async def test_what_it_takes_and_gives_is_json_and_its_own_types_inside() -> None:
    assert await Function(halves).call({"parts": [{"text": "abcd", "start": 3}]}, RUN) == [
        {"text": "ab", "start": 3},
        {"text": "cd", "start": 3},
    ]


async def test_a_function_has_a_thread_unless_it_is_quick() -> None:
    def where() -> str:
        return threading.current_thread().name

    here = threading.current_thread().name
    assert (await Function(where).call({}, RUN) == here, await Function(where, inline=True).call({}, RUN) == here) == (
        False,
        True,
    )


@pytest.mark.parametrize(
    ("function", "values", "words", "type_"),
    [
        (halves, {"parts": [{"start": 1}]}, "`parts.0.text`: Field required", ErrorType.INVALID_REQUEST),
        (refuses, {"text": "x"}, "x is no document", ErrorType.INVALID_REQUEST),
        (breaks, {}, "ZeroDivisionError", ErrorType.INTERNAL),
    ],
)
async def test_what_fails_says_why(function: Any, values: Any, words: str, type_: ErrorType) -> None:
    with pytest.raises(FunctionFailed) as error:
        await Function(function).call(values, RUN)
    assert (str(error.value), error.value.type) == (words, type_)


def test_values_without_names_cannot_be_given() -> None:
    with pytest.raises(BadFunction, match="'args' has no name"):
        _ = Function(lambda *args: args).takes


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("join", {"texts": ["a", None, "b"]}, "a\n\nb"),
        ("flatten", {"lists": [[1], [], [2, 3]]}, [1, 2, 3]),
        ("first", {"items": [1, 2, 3], "count": 2}, [1, 2]),
        ("unique", {"items": [1, {"a": 1}, 1, {"a": 1}]}, [1, {"a": 1}]),
        ("without_null", {"items": [None, 0, "a"]}, [0, "a"]),
    ],
)
async def test_the_shipped_ones(name: str, values: Any, found: Any) -> None:
    assert await FUNCTIONS[name].call(values, RUN) == found


def test_no_function_has_an_operations_name() -> None:
    assert not FUNCTIONS.keys() & OPERATIONS.keys()


def whose(text: str, run: Run) -> str:
    return f"{text} of {run.tenant}"


async def test_whose_run_it_is_is_told_by_the_engine_and_by_no_definition() -> None:
    assert (list(Function(whose).takes), await Function(whose).call({"text": "a"}, RUN)) == (["text"], "a of default")


def unanswered() -> None:
    raise Away("gone")


async def test_a_ledger_that_does_not_answer_is_not_the_functions_failure() -> None:
    with pytest.raises(Away):
        await Function(unanswered).call({}, RUN)
