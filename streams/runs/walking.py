"""One pipeline's run, brought on by its owner: steps begin when what they wait for is there, their items become requests, and
what functions give is kept. All of it stands in the database, so that another process goes on where this one ends.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row

from agents.engine.engine import Engine
from agents.pipelines import conditions, references
from agents.pipelines.checking import Known
from agents.pipelines.functions import Function, FunctionFailed, Run
from agents.pipelines.references import Missing
from schemas.errors import ErrorType, Failure
from schemas.pipelines import Pipeline, Step
from schemas.request import Lane
from store import killpoint
from store.database import Database, now
from store.errors import StoreError
from store.ledger.types.arrivals import Ask
from store.ledger.types.records import Routes
from store.ledger.writer import Writer
from store.runs import read, steps, write
from streams.decode import Decoder
from streams.prompting.registry import Registry
from streams.runs import asking, owning, parts, pipelines, thrift, turns
from streams.runs.computing import Computing
from streams.runs.outputs import Outputs, Prepared, Scope, StepFailed
from streams.runs.pacing import Turns
from streams.runs.sending import Item, send

log = structlog.get_logger(__name__)

WINDOW = 4_000
"""Items of one step that wait in the ledger at a time, as of other runs."""
_DUTY = 20
"""Adding up what a step cost may take one part in so many of the time."""
Rows = Mapping[str, Row[Any]]
Line = tuple[str, bytes, str | None]
"""An item: id, record, and what is wrong with it."""


class NotOurs(Exception):
    """Another process goes on with the run."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What this process brings on runs with."""

    database: Database
    writer: Writer
    engine: Engine
    decoder: Decoder
    registry: Registry
    turns: Turns
    routes: Routes
    worker: str
    known: Known
    most: int


class Walk:
    """What the owner remembers of a run: nothing that could not be read again."""

    def __init__(self, own: Parts, row: Row[Any], plan: Any) -> None:
        self.own, self.tenant, self.id = own, row.tenant, row.id
        self._row = row
        self.said = orjson.loads(row.said)
        self.lane = Lane(row.lane)
        self.pipeline = Pipeline.model_validate(plan["definition"])
        self.inputs = plan["inputs"]
        self.outputs = Outputs(own.database, (row.tenant, row.id), self.pipeline, self.inputs, own.known, own.most)
        self._computing = Computing(Run(row.tenant, row.id), self.outputs, self._change)
        self._prepared: dict[str, Prepared] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._spent_due: dict[str, float] = {}
        self._told: dict[str, Any] | None = None
        self._has_budget = False

    async def aclose(self) -> None:
        """What functions were at is begun anew by whoever goes on."""
        for task in self._working.values():
            task.cancel()
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def on(self, row: Row[Any]) -> tuple[bool, str | None]:
        """One round: whether anything moved, and how the run ended if it has. Raises `NotOurs`."""
        rows, at = await self._look()
        self._row, self._has_budget = row, row.budget_nano is not None
        late = row.deadline is not None and at > row.deadline
        closing = row.cancelled or late or any(each.status == "failed" for each in rows.values())
        moved = False
        if row.cancelled:
            await self._stop()
        for step in [] if closing else turns.ready(self.pipeline, {name: each.status for name, each in rows.items()}):
            await self._guarded(step, self._begin(step, rows))
            moved = True
        for step in self.pipeline.steps:
            if rows[step.name].status == "running":
                work = self._go_on(step, rows, closing=closing, called_off=row.cancelled or late)
                moved = bool(await self._guarded(step, work)) or moved
        if moved:
            rows, _ = await self._look()
        if turns.over((each.status for each in rows.values()), closing=closing):
            self.own.turns.forget(row)
            return True, await self._end(row, rows, late=late)
        await self._tell(row, rows, at)
        return moved, None

    async def _look(self) -> tuple[dict[str, Row[Any]], float]:
        found, at = await self.own.database.read(lambda conn: (steps.of_run(conn, self.tenant, self.id), now(conn)))
        return {each.name: each for each in found}, at

    async def _guarded(self, step: Step, work: Any) -> Any:
        """What a step cannot do is its failure, and not this process's."""
        try:
            return await work
        except (Missing, StepFailed, FunctionFailed) as error:
            await self._fail(step, error)
            return True

    async def _change(
        self, step: Step, values: Mapping[str, Any], *, first: int = 0, outputs: list[Any] | None = None
    ) -> None:
        """And what it gave, in one transaction."""

        def work(conn: Connection) -> None:
            if not steps.is_owned(conn, self.tenant, self.id, self.own.worker):
                raise NotOurs
            if outputs is not None:
                steps.put(conn, self.tenant, self.id, step.name, first, outputs)
            ended = {"ended_at": now(conn)} if values.get("status") in turns.OVER else {}
            started = {"started_at": now(conn)} if values.get("status") == "running" else {}
            steps.change(conn, self.tenant, self.id, step.name, {**values, **ended, **started})

        await self.own.database.write(work)
        if values.get("status") in turns.OVER:
            self._prepared.pop(step.name, None)

    async def _fail(self, step: Step, error: Exception) -> None:
        why = {"error": str(error)[:2000], "error_type": getattr(error, "type", ErrorType.INVALID_REQUEST)}
        await self._change(step, {"status": turns.failing(step), "failed": 1, **why})

    # begin

    async def _begin(self, step: Step, rows: Rows) -> None:
        nodes = conditions.tree(step.when)
        of_items = any(each.root in {"item", "index"} for node in nodes for each in references.references(node))
        if not of_items and not conditions.holds(step.when, await self.outputs.scope(nodes, rows)):
            await self._change(step, {"status": "skipped"})
            return
        total = (await self._prepare(step, rows)).source.total if step.maps else 1
        await self._change(step, {"status": "running", "total": total})

    async def _prepare(self, step: Step, rows: Rows) -> Prepared:
        if step.name not in self._prepared:
            given = references.read(step.with_)
            source = await self.outputs.source(references.read(step.map), rows) if step.maps else _ONCE
            scope = await self.outputs.scope([given, *conditions.tree(step.when)], rows)
            options = pipelines.options_of(step, self.said["options"], self.inputs)
            self._prepared[step.name] = Prepared(source, scope, given, options)
        return self._prepared[step.name]

    # go on

    async def _go_on(self, step: Step, rows: Rows, *, closing: bool, called_off: bool) -> bool:
        """Whether anything changed."""
        if step.use in self.own.known.operations:
            return await self._asking(step, rows, closing=closing, called_off=called_off)
        function = self.own.known.functions.get(step.use)
        if function is None:
            raise StepFailed(
                f"this process knows no function {step.use!r}; give every process the same GENAI_PIPELINES_MODULES"
            )
        task = self._working.get(step.name)
        if closing:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del self._working[step.name]
            if (await self._look())[0][step.name].status == "running":
                await self._change(step, {"status": "cancelled"})
            return True
        if task is None:
            self._working[step.name] = asyncio.create_task(self._work(step, function, rows), name=f"step-{step.name}")
            return False
        if not task.done():
            return False
        del self._working[step.name]
        task.result()
        return True

    async def _asking(self, step: Step, rows: Rows, *, closing: bool, called_off: bool) -> bool:
        row = rows[step.name]
        counts = await self.own.database.read(partial(steps.counts, tenant=self.tenant, id_=self.id, step=step.name))
        bad = counts.failed + counts.stopped
        feeds = row.fed < row.total and counts.open < WINDOW and turns.feeds(step, bad, closing=closing)
        if feeds and await self._feed(step, rows, WINDOW - counts.open):
            return True
        values: dict[str, Any] = {"succeeded": max(0, row.fed - row.passed - counts.open - bad), "failed": bad}
        whole = row.fed == row.total
        over = counts.open == 0 and (whole or not turns.feeds(step, bad, closing=closing))
        if over:
            status = turns.ended(step, failed=counts.failed, stopped=counts.stopped, whole=whole, called_off=called_off)
            values |= {"status": status} | (await self._why(step, bad, row.total) if bad else {})
        values |= await self._spent(step, at_once=over)
        if all(getattr(row, name) == value for name, value in values.items()):
            return False
        await self._change(step, values)
        return True

    async def _spent(self, step: Step, *, at_once: bool) -> dict[str, int]:
        began = time.monotonic()
        if not at_once and began < self._spent_due.get(step.name, 0.0):
            return {}
        nano, tokens = await self.own.database.read(
            partial(steps.spent, tenant=self.tenant, id_=self.id, step=step.name)
        )
        self._spent_due[step.name] = time.monotonic() + _DUTY * (time.monotonic() - began)
        return {"cost_nano": nano, "tokens": tokens}

    async def _why(self, step: Step, bad: int, total: int) -> dict[str, Any]:
        found = await self.own.database.read(partial(steps.first_bad, tenant=self.tenant, id_=self.id, step=step.name))
        if found is None:
            return {}  # it is run again just now
        error = None if found.body is None else orjson.loads(found.body)["error"]
        words = f"its request is {found.state}" if error is None else error["message"]
        if step.maps:
            number = found.id.rpartition("/")[2]
            words = f"{bad} of {total} items did not succeed; the first, [{number}]: {words}"
        return {"error": words[:2000], "error_type": None if error is None else error["type"]}

    async def _feed(self, step: Step, rows: Rows, room: int) -> bool:
        """The next items become requests, whether there are any; what of them its owner had made requests before it died is left as it
        stands.
        """
        row, ready = rows[step.name], await self._prepare(step, rows)
        items = await ready.source.page(row.fed, min(parts.MOST, row.total - row.fed, room))
        lines: list[Line | None] = []
        size = 0
        for number, item in enumerate(items, row.fed):
            scope = ready.scope.at(number, item)
            if step.maps and (item is None or not conditions.holds(step.when, scope)):
                lines.append(None)
                continue
            line = self._line(step, ready, scope, number)
            lines.append(line)
            size += len(line[1])
            if size > parts.MOST_BYTES:
                break
        count = await self._accept(step, lines)
        killpoint.passing("fed")
        if count:
            passed = sum(line is None for line in lines[:count])
            await self._change(step, {"fed": row.fed + count, "passed": row.passed + passed})
        return count > 0

    def _line(self, step: Step, ready: Prepared, scope: Scope, number: int) -> Line:
        """Id, record, and what is wrong with it: of a list's items, one that cannot be made fails alone."""
        id_ = f"{self.id}/{step.name}/{number}"
        wrong, input_ = None, {}
        try:
            input_ = references.filled(ready.given, scope)
        except Missing as error:
            if not step.maps:
                raise
            wrong = str(error)
        record = {"id": id_, "tenant": self.tenant, "run_id": self.id, "input": input_, "options": ready.options}
        record["metadata"] = self.said["metadata"]
        if self.said.get("deadline") is not None:
            record["deadline"] = self.said["deadline"]
        return id_, orjson.dumps(record), wrong

    async def _accept(self, step: Step, lines: list[Line | None]) -> int:
        """How many of the first ones have had their turn: all, unless the run's budget or its key's minute has no room just now."""
        ids = [line[0] for line in lines if line is not None]
        had = await self.own.database.read(partial(read.known, tenant=self.tenant, operation=step.use, ids=ids))
        asked = await self._fitting(step, lines, had)
        count = len(asked)
        if not self.own.turns.are_free(self._row, self.said):
            count = await self.own.turns.taken(self._row, self.said, [each and each[0] for each in asked])
        new = [each for each in asked[:count] if each is not None]
        await send(self.own.engine, self.own.writer, new)
        return count

    async def _fitting(self, step: Step, lines: list[Line | None], had: Collection[str]) -> list[Item | None]:
        """As requests, None where there is nothing to ask: all of them, unless the run's budget has no room at the moment."""
        found: list[Item | None] = []
        room = await thrift.room(self.own.database, self.tenant, self.id) if self._has_budget else None
        decoder = await asking.as_accepted(self._row, self.own.decoder, self.own.registry)
        for number, line in enumerate(lines):
            if line is None or line[0] in had:
                found.append(None)
                continue
            what = await self._asked(step, line, decoder)
            if room is not None and not room.take(what.estimate_nano):
                break
            found.append((what, line[1]))
            if number % 50 == 0:
                await asyncio.sleep(0)
        return found

    async def _asked(self, step: Step, line: Line, decoder: Decoder) -> Ask:
        id_, value, wrong = line
        decode = partial(decoder.ask, step.use, self.lane, value, (), place=id_, tenant=self.tenant)
        what = await self.own.registry.decoded(decode)
        assert isinstance(what, Ask)  # it has an id
        if wrong is not None:
            what = replace(what, failure=Failure(type=ErrorType.INVALID_REQUEST, message=wrong[:2000]))
        return replace(what, run_id=self.id, key_id=self.said.get("key_id"))

    # functions

    async def _work(self, step: Step, function: Function, rows: Rows) -> None:
        """All of a function's step. What the database does not take is done again at the next round."""
        with contextlib.suppress(StoreError):
            try:
                ready = await self._prepare(step, rows)
                await self._computing.step(step, function, ready, rows[step.name])
            except (Missing, StepFailed, FunctionFailed) as error:
                await self._fail(step, error)

    # end

    async def _stop(self) -> None:
        """What waits of a cancelled run, some hundred at a time."""
        stop = partial(write.stop_waiting, routes=self.own.routes, tenant=self.tenant, id_=self.id, most=parts.MOST)
        left = 1
        while left:
            left = await self.own.database.write(stop)

    async def _tell(self, row: Row[Any], rows: Rows, at: float) -> None:
        values: dict[str, Any] = turns.figures(rows.values())
        if any(each.started_at is not None for each in rows.values()):
            values |= {"status": "running", "started_at": row.started_at or at}
        if values | {"started_at": 0} != (self._told or {}) | {"started_at": 0}:
            await self.own.database.write(lambda conn: owning.tell(conn, self.own.routes, row, values))
        self._told = values

    async def _end(self, row: Row[Any], rows: Rows, *, late: bool) -> str | None:
        statuses = [each.status for each in rows.values()]
        status, result = turns.run_ended(statuses, cancelled=row.cancelled, late=late), None
        if status == "succeeded":
            try:
                node = references.read(self.pipeline.collects)
                result = references.filled(node, await self.outputs.scope([node], rows))
                self.outputs.bounded(result)
            except (Missing, StepFailed) as error:
                status, result = "failed", _told_of(None, f"`collect`: {error}", ErrorType.INVALID_REQUEST)
        elif (bad := next((each for each in rows.values() if each.status == "failed"), None)) is not None:
            words = f"the step {bad.name!r} failed: {bad.error}"
            result = _told_of(bad.name, words, bad.error_type or ErrorType.INTERNAL)

        def work(conn: Connection) -> bool:
            if not steps.is_owned(conn, self.tenant, self.id, self.own.worker):
                raise NotOurs
            for name, each in rows.items():
                if each.status == "waiting":
                    steps.change(conn, self.tenant, self.id, name, {"status": "cancelled"})
            after = steps.of_run(conn, self.tenant, self.id)
            steps.put(conn, self.tenant, self.id, steps.RESULT, 0, [result])
            at = now(conn)
            values = {"status": status, "ended_at": at, "owner": None, "started_at": row.started_at or at}
            return owning.tell(conn, self.own.routes, row, turns.figures(after) | values)

        return status if await self.own.database.write(work) else None


class _Once:
    """Of a step without `map`."""

    total = 1

    async def page(self, first: int, size: int) -> list[Any]:
        return [None][first : first + size]


_ONCE = _Once()


def _told_of(step: str | None, words: str, type_: str) -> dict[str, Any]:
    return {"error": {"type": type_, "message": words, "step": step}}
