"""Batches into the ledger, one transaction each with the run's cursor, so that a run may be killed anywhere and gone on with.

Recorded answers and records to be sent again go through the outbox, which the workers' relays empty in its order. A batch is
added only while fewer than `ROOM` records wait there, and holds at most `recorded.MOST_ROWS` records or
`recorded.MOST_BYTES`: that is the most that a live result can find before it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection

from schemas.money import to_usd
from schemas.replay import ReplayReport
from schemas.request import Lane
from store.ledger import answers, chosen, recorded, replays
from store.ledger.chosen import Recorded
from store.ledger.replays import Item, Original, Run
from store.rows import pack_headers, unpack_headers
from streams import topics
from streams.decode import STAND_INS
from streams.errors import SpineError
from streams.replay import anew
from streams.replay.anew import Otherwise
from streams.replay.parts import Parts
from streams.replay.plan import runs_again

WINDOW = 64
"""Requests asked anew that have not ended: enough for all slots of most houses, few enough for the lane to stay open."""
ROOM = 100
_LOOK_S = 0.05
_PATIENCE_S = 10.0
_LONG_S = 60.0
_OVERHEAD = 4096
_EXPIRED = frozenset({"deadline"})

Tell = Callable[[str], None]
"""Is told what the operator should know."""


@dataclass
class Feeder:
    """Goes on with one run until everything that was chosen is dealt with."""

    parts: Parts
    run: Run
    tell: Tell

    def __post_init__(self) -> None:
        self.report = ReplayReport(run=self.run.run, mode=self.run.mode, ended=False, sent=self.run.sent)

    async def feed(self) -> ReplayReport:
        """Returned means: all is in the ledger, and published or asked; what was asked anew has ended."""
        await {"recorded": self._recorded, "again": self._again, "anew": self._anew}[self.run.mode]()
        await self.parts.database.write(lambda conn: replays.end(conn, self.run.run))
        self.report.ended = True
        return self.report

    # through the outbox

    async def _until(self, is_so: Callable[[Connection], bool]) -> None:
        """Until the outbox is so far; says so when nobody empties it."""
        since, told = time.monotonic(), False
        while not await self.parts.database.read(is_so):
            if not told and time.monotonic() - since > _PATIENCE_S:
                self.tell("Nothing is being published: start a worker, or look at its /ready. Waiting.")
                told = True
            await asyncio.sleep(_LOOK_S)

    async def _room(self) -> None:
        await self._until(lambda conn: replays.waiting(conn, ROOM) < ROOM)

    async def _published(self) -> None:
        last = await self.parts.database.read(replays.outbox_end)
        await self._until(lambda conn: replays.is_published(conn, last))

    async def _next(self, cursor: int) -> list[int]:
        return await self.parts.database.read(lambda conn: chosen.after(conn, self.run.chosen, cursor))

    async def _recorded(self) -> None:
        if (width := self.parts.widths.get(topics.RESULTS, 0)) == 0:
            raise SpineError(f"There is no topic {topics.RESULTS}. Run `genai-spine topics create` first.")
        cursor = self.run.cursor
        while pks := await self._next(cursor):
            some = await self.parts.database.read(partial(recorded.cut, pks=pks))
            await self._room()
            done = await self.parts.database.write(partial(self._publish, pks=some, width=width))
            cursor = done.cursor
            self.report.results += done.results
            self.report.usage_events += done.events
            self.report.sent += done.results + done.events
            self.report.left_alone += len(some) - done.results
        await self._published()

    def _publish(self, conn: Connection, pks: Sequence[int], width: int) -> recorded.Published:
        done = recorded.publish(conn, self.parts.routes, pks, width)
        replays.advance(conn, self.run.run, done.cursor, done.results + done.events)
        return done

    async def _again(self) -> None:
        cursor = self.run.cursor
        while pks := await self._next(cursor):
            found = await self.parts.database.read(partial(replays.originals, pks=pks))
            for some in _batches(found):
                sent = [self._record(original) for original in some]
                records = [record for record in sent if record is not None]
                last = some[-1].row.pk
                await self._room()
                send = partial(replays.send, run=self.run.run, records=records, cursor=last)
                await self.parts.database.write(send)
                self.report.sent += len(records)
                self.report.left_alone += len(some) - len(records)
            cursor = pks[-1]
        await self._published()

    def _record(self, original: Original) -> answers.OutRow | None:
        return record_again(original, self.parts.widths, self.parts.settings.request_max_bytes)

    # asked anew

    async def _anew(self) -> None:
        cursor, exhausted = self.run.cursor, False
        watch = _Watch(self.run.run, self.tell)
        while True:
            pulse = await self._settle()
            watch.saw(pulse)
            room = WINDOW - pulse.open
            if exhausted or room <= 0:
                if exhausted and not pulse.open:
                    break
                await asyncio.sleep(_LOOK_S * 4)
                continue
            pks = (await self._next(cursor))[:room]
            if not pks:
                exhausted = True
                continue
            cursor, waits = await self._ask(pks, pulse)
            if waits:
                await asyncio.sleep(_LOOK_S * 4)
        await self._sum_up()

    async def _settle(self) -> replays.Pulse:
        run = self.run.run
        ended = await self.parts.database.read(lambda conn: replays.ended_items(conn, run))
        if ended:
            await self.parts.database.write(lambda conn: replays.settle(conn, run, ended))
        return await self.parts.database.read(lambda conn: replays.pulse(conn, run))

    async def _ask(self, pks: Sequence[int], pulse: replays.Pulse) -> tuple[int, bool]:
        """Ask as many as fit under the budget; how far that went, and whether the next one has to wait for others to end."""
        originals, calls, known = await self.parts.database.read(lambda conn: self._look(conn, pks))
        items: list[Item] = []
        cursor, feared, waits = pks[0] - 1, pulse.open_nano, False
        for original in originals:
            if original.row.pk not in known and chosen.is_finished(original.row):
                item = self._item(original, calls.get(original.row.pk, Recorded()))
                verdict = anew.fits(self.run.budget_nano or 0, pulse.spent_nano, feared, item.estimate_nano)
                if verdict == "wait":
                    waits = True
                    break
                items.append(item if verdict == "ask" else Item(original, item.estimate_nano))
                feared += (item.estimate_nano or 0) if verdict == "ask" else 0
            cursor = original.row.pk
        asks = [item.ask for item in items if item.ask is not None and item.ask.failure is None]
        await self.parts.ensure({(ask.provider, ask.model) for ask in asks})
        if cursor >= pks[0]:
            run, routes = self.run.run, self.parts.routes
            await self.parts.database.write(lambda conn: replays.admit(conn, routes, run, items, cursor))
        return cursor, waits

    def _look(self, conn: Connection, pks: Sequence[int]) -> tuple[list[Original], dict[int, Recorded], set[int]]:
        known = replays.known_items(conn, self.run.run, pks)
        return replays.originals(conn, pks), chosen.recorded(conn, pks), known

    def _item(self, original: Original, recorded_calls: Recorded) -> Item:
        otherwise = Otherwise(**self.run.options)
        return anew.item(original, self.run.run, otherwise, self.parts.decoder, self.parts.prices, recorded_calls)

    async def _sum_up(self) -> None:
        run = self.run.run

        def look(conn: Connection) -> tuple[Run | None, tuple[int, int]]:
            return replays.load(conn, run), replays.left_out(conn, run)

        now, left = await self.parts.database.read(look)
        assert now is not None
        self.report = self.report.model_copy(
            update={"sent": now.sent, "left_out": left[0], "spent_usd": to_usd(now.spent_nano) or "0.000000"}
        )


@dataclass
class _Watch:
    """Says once that nothing ends: calls may take long, or nobody is there to make them."""

    run: str
    tell: Tell
    last: replays.Pulse | None = None
    since: float = 0.0
    told: bool = False

    def saw(self, pulse: replays.Pulse) -> None:
        now = time.monotonic()
        if pulse != self.last:
            self.last, self.since = pulse, now
        elif not self.told and now - self.since > _LONG_S:
            self.told = True
            words = f"None of the {pulse.open} in flight has ended for {_LONG_S:.0f} s."
            self.tell(f"{words} Does a worker run? `genai-spine requests list --run {self.run}` shows them.")


def _batches(found: Sequence[Original]) -> list[list[Original]]:
    """At most so many bytes each, or one."""
    made: list[list[Original]] = [[]]
    size = 0
    for original in found:
        more = len(original.value or b"")
        if made[-1] and size + more > recorded.MOST_BYTES:
            made.append([])
            size = 0
        made[-1].append(original)
        size += more
    return made


def record_again(original: Original, widths: dict[str, int], most_bytes: int) -> answers.OutRow | None:
    """The untouched record for its topic, under its own identity; None: it would help nothing, or cannot be sent.

    Of one that has expired the deadline is taken out: it has passed, and would end it again.
    """
    row, value = original.row, original.value
    if not runs_again(row) or value is None or answers.is_replay(row.run_id):
        return None
    kept = [(name, each) for name, each in unpack_headers(original.headers) if name not in STAND_INS]
    kept += [("genai-id", row.id.encode()), ("genai-tenant", row.tenant.encode())]
    if row.state == "expired":
        value = _without_deadline(value)
    else:
        kept += [pair for pair in unpack_headers(original.headers) if pair[0] == "genai-deadline"]
    if len(value) + len(row.key or b"") + _OVERHEAD > most_bytes:
        return None
    topic = row.source_topic or topics.request_topic(row.operation, Lane(row.lane))
    width = widths.get(topic, 0)
    if not width:
        raise SpineError(f"There is no topic {topic}. Run `genai-spine topics create` first.")
    partition = row.source_partition if row.source_topic is not None else row.partition
    return {
        "topic": topic,
        "partition": (partition or 0) % width,
        "number": None,
        "key": row.key,
        "value": value,
        "headers": pack_headers(kept),
    }


def _without_deadline(value: bytes) -> bytes:
    told: Any = orjson.loads(value)
    return orjson.dumps({name: each for name, each in told.items() if name not in _EXPIRED})
