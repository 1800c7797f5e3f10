"""What a run's steps gave, for those that refer to it: out of the ledger, a page at a time, never by an expression."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import orjson
from sqlalchemy import Row

from agents.pipelines import references
from agents.pipelines.checking import Known
from agents.pipelines.functions import FunctionFailed, Run
from agents.pipelines.references import EACH, Missing, Node, Reference
from schemas.pipelines import Pipeline, Step
from store.database import Database
from store.runs import steps

PAGE = 200


class StepFailed(Exception):
    """A step cannot go on; the message is for whoever submitted the run."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What references of one step lead to. `values`: of steps, by the reference's text, with all of its path."""

    inputs: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)
    item: Any = None
    index: int = 0

    def value(self, reference: Reference) -> Any:
        if reference.root == "steps":
            return self.values[reference.text]
        if reference.root == "index":
            return self.index
        if reference.root == "item":
            return references.walk(self.item, reference.path, reference.text)
        return references.walk(self.inputs[reference.path[0]], reference.path[1:], reference.text)

    def at(self, index: int, item: Any) -> "Scope":
        """The same for one item of a list."""
        return replace(self, index=index, item=item)


class Source(Protocol):
    """A list that is mapped."""

    @property
    def total(self) -> int: ...

    async def page(self, first: int, size: int) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """One that is in memory."""

    items: list[Any]

    @property
    def total(self) -> int:
        return len(self.items)

    async def page(self, first: int, size: int) -> list[Any]:
        return self.items[first : first + size]


@dataclass(frozen=True, slots=True)
class Behind:
    """The items of another step, of which only a page is held."""

    outputs: "Outputs"
    step: Step
    total: int
    reference: Reference

    async def page(self, first: int, size: int) -> list[Any]:
        found = await self.outputs.page(self.step, first, min(size, self.total - first))
        return [references.walk(each, self.reference.path[1:], self.reference.text) for each in found]


class Outputs:
    """Of one run. `most`: bytes of one value, beyond which a step fails instead of filling the memory."""

    def __init__(
        self,
        database: Database,
        run: tuple[str, str],
        pipeline: Pipeline,
        inputs: Mapping[str, Any],
        known: Known,
        most: int,
    ) -> None:
        self.database, self.run, self.pipeline, self.known = database, run, pipeline, known
        self.inputs, self.most = inputs, most
        self._cheap: dict[str, Any] = {}

    async def scope(self, nodes: Iterable[Node], rows: Mapping[str, Row[Any]]) -> Scope:
        """All that these refer to. Raises `Missing`, `StepFailed`."""
        values: dict[str, Any] = {}
        for node in nodes:
            for each in references.references(node):
                if each.step is not None and each.text not in values:
                    values[each.text] = await self._value(each, rows)
        return Scope(self.inputs, values)

    async def source(self, node: Node, rows: Mapping[str, Row[Any]]) -> Source:
        """What `map` names. Raises `Missing`, `StepFailed`."""
        if isinstance(node, Reference) and node.step is not None and node.what == "output":
            meant, row = self.pipeline.step(node.step), rows[node.step]
            if meant.maps and row.status == "succeeded" and (not node.path or node.path[0] is EACH):
                return Behind(self, meant, row.total or 0, node)
        found = references.filled(node, await self.scope([node], rows))
        if found is None:
            return Listed([])  # of a step that was skipped
        if not isinstance(found, list):
            raise StepFailed(
                f"`map` is no list but {type(found).__name__}; it does the step once for each item of a list"
            )
        return Listed(found)

    async def page(self, step: Step, first: int, size: int) -> list[Any]:
        """Outputs of some items of a step with `map`; null where there is none."""
        tenant, id_ = self.run
        numbers = range(first, first + size)
        if step.use not in self.known.operations:
            kept = await self.database.read(
                partial(steps.outputs, tenant=tenant, id_=id_, step=step.name, first=first, size=size)
            )
            return [kept.get(number) for number in numbers]
        ids = [f"{id_}/{step.name}/{number}" for number in numbers]
        found = await self.database.read(partial(steps.answers, tenant=tenant, operation=step.use, ids=ids))
        return [self._answer(step, found.get(each)) for each in ids]

    def keep(self, name: str, value: Any) -> None:
        """What a cheap function gave, as long as this process cares for the run."""
        self._cheap[name] = value

    def _answer(self, step: Step, found: tuple[str, bytes | None] | None) -> Any:
        if found is None:
            return None
        state, body = found
        if state != "succeeded":
            return step.default
        if body is None:
            raise StepFailed(f"answers of the step {step.name!r} are no longer kept (GENAI_KEEP_BODIES_DAYS)")
        return orjson.loads(body)["output"]

    async def _value(self, found: Reference, rows: Mapping[str, Row[Any]]) -> Any:
        assert found.step is not None
        meant, row = self.pipeline.step(found.step), rows[found.step]
        if found.what == "status":
            return row.status
        if row.status in {"skipped", "defaulted"}:
            return None if row.status == "skipped" else references.walk(meant.default, found.path, found.text)
        if meant.maps:
            return await self._all(meant, row.total or 0, found)
        return references.walk(await self._one(meant, rows), found.path, found.text)

    async def _one(self, step: Step, rows: Mapping[str, Row[Any]]) -> Any:
        function = self.known.functions.get(step.use)
        if function is None or not function.cheap:
            return (await self.page(step, 0, 1))[0]
        if step.name not in self._cheap:
            given = references.read(step.with_)
            try:
                values = references.filled(given, await self.scope([given], rows))
                self.keep(step.name, await function.call(values, Run(*self.run)))
            except FunctionFailed as error:
                raise StepFailed(f"the step {step.name!r}: {error}") from error
        return self._cheap[step.name]

    async def _all(self, step: Step, total: int, found: Reference) -> Any:
        """Of every item what the reference takes of it, as far as memory may hold it."""
        if found.path and isinstance(found.path[0], int):
            if found.path[0] >= total:
                raise Missing(f"{found.text}: the list has {total} items, and [{found.path[0]}] is none of them")
            (one,) = await self.page(step, found.path[0], 1)
            return references.walk(one, found.path[1:], found.text)
        if found.path and found.path[0] is not EACH:
            raise Missing(
                f"{found.text}: the step has `map`, so its output is a list; write [*] or [0] behind `output`"
            )
        made: list[Any] = []
        size = 0
        for first in range(0, total, PAGE):
            page = await self.page(step, first, min(PAGE, total - first))
            taken = [references.walk(each, found.path[1:], found.text) for each in page]
            made += taken
            size += len(orjson.dumps(taken))
            if size > self.most:
                raise StepFailed(
                    f"{found.text} holds more than {self.most} bytes; refer to less of each item, `map` over it, "
                    "or raise GENAI_RUN_MAX_BYTES"
                )
        return made
