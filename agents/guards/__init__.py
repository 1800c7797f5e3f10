"""Guards: what must not reach a model, and what must not come out of one; on by setting, for each operation.

`guarded` wraps the table of operations once, when a process is wired. Each operation's calls then go through its rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from agents.base import Caller, Operation
from agents.guards.caller import Counted, Guarded
from agents.guards.rules import ALL, Rule, rules


def guarded(
    operations: Mapping[str, Operation], told: Mapping[str, Sequence[str]], counted: Counted
) -> dict[str, Operation]:
    """Operations that no rule is for stay as they are. Raises ValueError: an unknown operation, or a rule that is none."""
    if unknown := sorted(set(told) - set(operations) - {ALL}):
        raise ValueError(f"there is no operation {', '.join(unknown)}; there are {', '.join(operations)}, and {ALL!r}")
    found = rules(told)
    chosen = {name: (*found.get(ALL, ()), *found.get(name, ())) for name in operations}
    return {name: _with(each, chosen[name], counted) if chosen[name] else each for name, each in operations.items()}


def _with(operation: Operation, chosen: tuple[Rule, ...], counted: Counted) -> Operation:
    async def run(asked: Any, caller: Caller) -> BaseModel:
        return await operation.run(asked, Guarded(caller, chosen, counted))

    return replace(operation, run=run, early=False)  # a verdict is counted once


__all__ = ["guarded"]
