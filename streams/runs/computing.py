"""A function's step: what it gives is kept some at a time, and gone on with behind what is kept."""

import time
from typing import Any, Protocol

from sqlalchemy import Row

from agents.pipelines import conditions, references
from agents.pipelines.functions import Function, FunctionFailed, Run
from agents.pipelines.references import Missing
from schemas.pipelines import Step
from store import killpoint
from streams.runs import parts
from streams.runs.outputs import Outputs, Prepared, Scope, StepFailed

_FEW = 16
"""Items that are in memory at a time: each may be an answer of some megabytes."""
_KEEP_S = 1.0
"""What was given is kept at least so often."""


class Change(Protocol):
    """Of a step's row, with what it gave, in one transaction."""

    async def __call__(
        self, step: Step, values: dict[str, Any], *, first: int = 0, outputs: list[Any] | None = None
    ) -> None: ...


class Computing:
    """Of one run. Raises `Missing`, `StepFailed`, `FunctionFailed`."""

    def __init__(self, run: Run, outputs: Outputs, change: Change) -> None:
        self._run, self._outputs, self._change = run, outputs, change

    async def step(self, step: Step, function: Function, ready: Prepared, row: Row[Any]) -> None:
        """All of it, or what of it is left."""
        if step.maps:
            await self._each(step, function, ready, row)
        else:
            await self._once(step, function, ready)

    async def _once(self, step: Step, function: Function, ready: Prepared) -> None:
        value = await function.call(references.filled(ready.given, ready.scope), self._run)
        self._outputs.bounded(value)
        killpoint.passing("computed")
        if function.cheap:
            self._outputs.keep(step.name, value)
        done = {"status": "succeeded", "fed": 1, "succeeded": 1}
        await self._change(step, done, outputs=None if function.cheap else [value])

    async def _each(self, step: Step, function: Function, ready: Prepared, row: Row[Any]) -> None:
        """One after another."""
        fed, figures = row.fed, {name: getattr(row, name) for name in ("passed", "succeeded", "failed")}
        while fed < row.total:
            made: list[Any] = []
            size, until = 0, time.monotonic() + _KEEP_S
            while fed + len(made) < row.total and len(made) < parts.MOST:
                first = fed + len(made)
                for number, item in enumerate(await ready.source.page(first, min(_FEW, parts.MOST)), first):
                    value, how = await self._of_item(step, function, ready, ready.scope.at(number, item))
                    figures[how] += 1
                    made.append(value)
                    size += self._outputs.bounded(value)
                if size > parts.MOST_BYTES or time.monotonic() > until:
                    break
            await self._change(step, {"fed": fed + len(made), **figures}, first=fed, outputs=made)
            fed += len(made)
        await self._change(step, {"status": "succeeded"})

    async def _of_item(self, step: Step, function: Function, ready: Prepared, scope: Scope) -> tuple[Any, str]:
        if scope.item is None or not conditions.holds(step.when, scope):
            return None, "passed"
        try:
            return await function.call(references.filled(ready.given, scope), self._run), "succeeded"
        except (Missing, FunctionFailed) as error:
            if step.on_error == "fail":
                raise StepFailed(f"item [{scope.index}]: {error}") from error
            return step.default, "failed"
