"""Plain Python functions as steps: one table. A function says by its annotations what it takes and gives.

It is deterministic and changes nothing: after a crash it may be run again with the same values. What it gives is kept with
the run, unless it is `cheap`: then it is run anew wherever its output is needed. A parameter that is annotated with `Run` is
given by the engine: no definition can name somebody else's.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from agents.base import OperationError
from agents.pipelines.shapes import ANYTHING, Shape
from schemas.errors import ErrorType
from store.errors import Away


class BadFunction(ValueError):
    """What is registered cannot be a step; the message says what to write."""


class FunctionFailed(Exception):
    """A function did not take its values, or failed; the message is for whoever submitted the run."""

    def __init__(self, message: str, type_: ErrorType = ErrorType.INVALID_REQUEST) -> None:
        super().__init__(message)
        self.type = type_


@dataclass(frozen=True, slots=True)
class Run:
    """For which run a function works."""

    tenant: str
    id: str


@dataclass(frozen=True)
class Function:
    """`run` is sync or async. `inline`: so quick that it runs in the event loop; others get a thread. `cheap`: see above."""

    run: Callable[..., Any]
    inline: bool = False
    cheap: bool = False

    @property
    def about(self) -> str:
        return (inspect.getdoc(self.run) or "").partition("\n")[0]

    @cached_property
    def takes(self) -> Mapping[str, inspect.Parameter]:
        """Its parameters by name, without the run. Raises `BadFunction`."""
        found = {name: each for name, each in self._signature.parameters.items() if each.annotation is not Run}
        odd = [p.name for p in found.values() if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if odd:
            raise BadFunction(f"{self.run.__qualname__}: {odd[0]!r} has no name of its own to be given by")
        return found

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.run, eval_str=True)

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any]]:
        return {
            name: TypeAdapter(Any if parameter.annotation is parameter.empty else parameter.annotation)
            for name, parameter in self.takes.items()
        }

    @cached_property
    def _gives(self) -> TypeAdapter[Any]:
        said = self._signature.return_annotation
        return TypeAdapter(Any if said is inspect.Signature.empty else said)

    @cached_property
    def inputs(self) -> Mapping[str, Shape]:
        """What may be given, by its parameter."""
        return {name: _shape(adapter, "validation") for name, adapter in self._adapters.items()}

    @cached_property
    def output(self) -> Shape:
        return _shape(self._gives, "serialization")

    async def call(self, values: Mapping[str, Any], run: Run) -> Any:
        """Its output as JSON knows it. Raises `FunctionFailed`, and `Away` where the ledger does not answer it."""
        given = {name: self._taken(name, value) for name, value in values.items()}
        given |= {name: run for name, each in self._signature.parameters.items() if each.annotation is Run}
        try:
            if inspect.iscoroutinefunction(self.run):
                said = await self.run(**given)
            elif self.inline:
                said = self.run(**given)
            else:
                said = await asyncio.to_thread(self.run, **given)
            return self._gives.dump_python(said, mode="json")
        except PydanticSerializationError as error:
            raise FunctionFailed(f"what it gave cannot be kept as JSON ({error})", ErrorType.INTERNAL) from error
        except OperationError as error:
            raise FunctionFailed(str(error), error.type) from error
        except Away:
            raise
        except Exception as error:
            words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise FunctionFailed(words, ErrorType.INTERNAL) from error

    def _taken(self, name: str, value: Any) -> Any:
        try:
            return self._adapters[name].validate_python(value)
        except ValidationError as error:
            found = min(error.errors(include_url=False, include_input=False), key=_is_of_another_kind)
            where = ".".join([name, *(str(part) for part in found["loc"] if not _is_a_form(part))])
            raise FunctionFailed(f"`{where}`: {found['msg'].removeprefix('Value error, ')}") from None


def _is_of_another_kind(wrong: ErrorDetails) -> bool:
    """Of a value that may be one of several things it says least that it is not the others."""
    return wrong["type"].endswith("_type")


def _is_a_form(part: int | str) -> bool:
    """A name of one of several things that a value may be, and no field of it."""
    return isinstance(part, str) and (part[:1].isupper() or part in {"str", "int", "float", "bool"})


def _shape(adapter: TypeAdapter[Any], mode: Any) -> Shape:
    try:
        schema = adapter.json_schema(mode=mode)
    except PydanticUserError:
        return ANYTHING
    return Shape(schema, schema.get("$defs", {}))


def join(texts: list[str | None], separator: str = "\n\n") -> str:
    """Texts as one, without what was skipped."""
    return separator.join(text for text in texts if text is not None)


def flatten(lists: list[list[Any]]) -> list[Any]:
    """Lists as one, in their order."""
    return [item for each in lists for item in each]


def first(items: list[Any], count: int = 1) -> list[Any]:
    """The first of a list."""
    return items[: max(0, count)]


def unique(items: list[Any]) -> list[Any]:
    """A list without what stands in it already."""
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def without_null(items: list[Any]) -> list[Any]:
    """A list without what was skipped."""
    return [item for item in items if item is not None]


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "join": Function(join, inline=True, cheap=True),
        "flatten": Function(flatten, cheap=True),
        "first": Function(first, inline=True, cheap=True),
        "unique": Function(unique),
        "without_null": Function(without_null, cheap=True),
    }
)
"""Those that are shipped, by the names that steps use; an operation's name is none of them."""
