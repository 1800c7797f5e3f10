"""Guards: what must not reach a model, and what must not come out of one; on by setting for each operation, and by route.

`guarded` wraps the table of operations once, when a process is wired. Each operation's calls then go through its rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from agents.base import Caller, Operation
from agents.guards.caller import Counted, Guarded, Judge
from agents.guards.rules import ALL, Rule, rule, rules

_rule = cache(rule)


@runtime_checkable
class Routed(Protocol):
    """A caller whose request may have come by a route with rules of its own."""

    guards: tuple[str, ...]


def guarded(
    operations: Mapping[str, Operation],
    told: Mapping[str, Sequence[str]],
    counted: Counted,
    judge: Judge | None = None,
) -> dict[str, Operation]:
    """A request that no rule is for runs as it would without. Raises ValueError: an unknown operation, or a rule that is none."""
    if unknown := sorted(set(told) - set(operations) - {ALL}):
        raise ValueError(f"there is no operation {', '.join(unknown)}; there are {', '.join(operations)}, and {ALL!r}")
    found = rules(told)
    chosen = {name: (*found.get(ALL, ()), *found.get(name, ())) for name in operations}
    return {name: _with(each, chosen[name], counted, judge) for name, each in operations.items()}


def _with(operation: Operation, chosen: tuple[Rule, ...], counted: Counted, judge: Judge | None) -> Operation:
    fixed = _for(operation, chosen)

    async def run(asked: Any, caller: Caller) -> BaseModel:
        own = _for(operation, map(_rule, caller.guards)) if isinstance(caller, Routed) else ()
        if not (fixed or own):
            return await operation.run(asked, caller)
        return await operation.run(asked, Guarded(caller, tuple(dict.fromkeys((*fixed, *own))), counted, judge))

    return replace(operation, run=run, early=operation.early and not fixed)  # a verdict is counted once


def _for(operation: Operation, chosen: Iterable[Rule]) -> tuple[Rule, ...]:
    """Who judges is not judged."""
    return tuple(each for each in chosen if not (each.judges and operation.moderates))


__all__ = ["guarded"]
