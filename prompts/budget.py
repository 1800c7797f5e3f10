"""How much one rendering may do, and the filters, functions and operators that spend it.

Jinja's sandbox protects attributes, not resources: `{{ 10**20000000 > 1 }}` runs for 34 s in it and
`'a'.center(10**8)` passes. So everything that a template can do in a loop, and everything whose result can be bigger
than what went in, goes through `Budget.spend`, and whatever does not is kept out by `prompts.sandbox`.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson

from prompts.errors import BadTemplate, TooMuch


@dataclass(frozen=True, slots=True)
class Limits:
    """Characters of template, of output and of all work together; iterations; seconds of CPU.

    The event loop stands still meanwhile. Ten thousand items with six expressions each, two million characters, take 0.15 s.
    """

    template: int = 32_000
    output: int = 16_000_000
    work: int = 64_000_000
    iterations: int = 10_000
    seconds: float = 0.25


LIMITS = Limits()


class Budget:
    """What one rendering has left. The thread's clock is looked at on each spending, so no step may be long by itself; time in which
    others had the processor does not count.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._work = limits.work
        self._iterations = limits.iterations
        self._end = time.thread_time() + limits.seconds

    def spend(self, characters: int) -> None:
        self._work -= characters + 1
        if self._work < 0:
            raise TooMuch(f"the prompt's template handles more than {self._limits.work} characters; make it simpler")
        if time.thread_time() > self._end:
            raise TooMuch(f"the prompt took more than {self._limits.seconds} s to render; make it simpler")

    def step(self) -> None:
        self._iterations -= 1
        if self._iterations < 0:
            raise TooMuch(f"the prompt loops more than {self._limits.iterations} times; loop over less")
        self.spend(0)


CURRENT: ContextVar[Budget] = ContextVar("prompt_budget")
"""The budget of the rendering that runs; filters have no other way to know it."""

_MAX_NUMBER = 10**15


def arithmetic(operator: str, left: Any, right: Any) -> int | float:
    """Numbers only, and small ones: `*`, `+` and `%` also multiply, join and format texts and lists."""
    if not all(isinstance(side, int | float) for side in (left, right)):
        raise BadTemplate(f"'{operator}' works on numbers in a prompt; join texts with '~'")
    CURRENT.get().spend(0)
    try:
        value: int | float = _ARITHMETIC[operator](left, right)
    except ZeroDivisionError as error:
        raise BadTemplate(f"the prompt divides by zero with '{operator}'") from error
    if abs(value) > _MAX_NUMBER:
        raise TooMuch(f"a number in the prompt is beyond {_MAX_NUMBER}")
    return value


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "//": lambda left, right: left // right,
    "%": lambda left, right: left % right,
}
OPERATORS = frozenset(_ARITHMETIC) | {"**"}


def bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LIMITS.iterations:
        raise TooMuch(f"range({', '.join(map(str, bounds))}) is longer than {LIMITS.iterations}")
    return numbers


def each(items: Iterable[Any]) -> Iterator[Any]:
    """The items of a `for`, each one counted. The sandbox puts it around every loop."""
    for item in items:
        CURRENT.get().step()
        yield item


def tick(value: Any) -> Any:
    """Puts a look at the clock around a comparison, which can be long on long texts and prints nothing."""
    CURRENT.get().spend(0)
    return value


def join(items: Iterable[Any], separator: str = "") -> str:
    if isinstance(items, str):
        return items
    parts = [str(item) for item in items]
    CURRENT.get().spend(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def to_json(value: Any) -> str:
    """Plain JSON, not escaped for HTML as Jinja's own filter does."""
    text = orjson.dumps(value).decode()
    CURRENT.get().spend(len(text))
    return text


def truncate(text: str, length: int = 255) -> str:
    CURRENT.get().spend(min(len(text), max(length, 0)))
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is about as big as its input, paid by the size of that input."""

    def charged(value: Any, *arguments: Any) -> Any:
        CURRENT.get().spend(len(value) if hasattr(value, "__len__") else 0)
        return function(value, *arguments)

    return charged


FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _charged(lambda text: str(text).capitalize()),
    "first": _charged(lambda items: next(iter(items), "")),
    "items": _charged(lambda mapping: list(mapping.items())),
    "join": join,
    "last": _charged(lambda items: items[-1] if items else ""),
    "length": _charged(len),
    "lower": _charged(lambda text: str(text).lower()),
    "round": _charged(lambda number, digits=0: round(number, digits) if digits else round(number)),
    "sort": _charged(sorted),
    "title": _charged(lambda text: str(text).title()),
    "tojson": to_json,
    "trim": _charged(lambda text: str(text).strip()),
    "truncate": truncate,
    "unique": _charged(lambda items: list(dict.fromkeys(items))),
    "upper": _charged(lambda text: str(text).upper()),
}
"""Every filter of the prompt language. One that can make much out of little (`center`, `indent`, `replace`, `format`,
`wordwrap`, `batch` …) does not belong here."""
