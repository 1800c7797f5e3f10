"""What a forked process does: a worker with a real broker, a worker of the stage without Kafka, or a migration.

The stage without Kafka runs the real engine, writer, keeper and relay. Two small parts stand for the broker: `Reading` takes
records out of files as intake takes them out of partitions, and `Publishing` appends to files what the relay sends.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from store import killpoint
from store.database import Database, parse_url
from store.errors import StoreError
from store.ledger import progress
from store.ledger.types.arrivals import Arrival, Ask, Unreadable
from store.ledger.types.records import Position
from store.migrate import migrate
from store.rows import pack_headers
from streams import logging, runtime, topics, watchdog, where
from streams.app import running
from streams.decode import cancel
from streams.relay import Relay
from streams.settings import Settings
from streams.spine import Spine
from streams.worker import worker as _worker
from tests.parts.kafka import make_settings

_RETRY_S = 0.3
_COMMIT_S = 0.15
"""Offsets are committed so often: whoever dies in between gets records again."""


def settings_of(told: dict[str, Any]) -> Settings:
    return make_settings(**told["settings"])


def worker(told: dict[str, Any]) -> int:
    """`genai-spine worker`."""
    return _worker(settings_of(told))


def migration(told: dict[str, Any]) -> int:
    """`genai-spine migrate`."""
    killpoint.arm(os.environ[killpoint.VARIABLE])

    async def run() -> None:
        database = Database(parse_url(where.ledger_url(settings_of(told))))
        await migrate(database)
        await database.aclose()

    asyncio.run(run())
    return 0


def stage(told: dict[str, Any]) -> int:
    """A worker without Kafka: `folder` holds the topics, `topics` names the partitions that are this one's."""
    settings = settings_of(told)
    logging.configure(settings.log_level, settings.log_format)
    killpoint.arm(os.environ[killpoint.VARIABLE])
    with runtime.runner() as runner:
        return runner.run(_stage(settings, Path(told["folder"]), told["partitions"]))


async def _stage(settings: Settings, folder: Path, partitions: Sequence[str]) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, watchdog.dump)
    while not stop.is_set():
        try:
            return await _serve(settings, folder, partitions, stop)
        except StoreError:  # as a serving process does it: start again until the database is there
            await asyncio.sleep(_RETRY_S)
    return 0


async def _serve(settings: Settings, folder: Path, partitions: Sequence[str], stop: asyncio.Event) -> int:
    async with contextlib.AsyncExitStack() as stack:
        spine = await stack.enter_async_context(
            running(settings, bootstrap=None, widths=dict.fromkeys(DESTINATIONS, settings.partitions))
        )
        relay = Relay(
            spine.database, spine.writer, spine.routes, "", max_bytes=settings.result_max_bytes, poll_s=settings.poll_s
        )
        relay._producer = Publishing(folder)
        relay.start()
        stack.push_async_callback(relay.aclose)
        stack.push_async_callback(spine.engine.drain, settings.drain_s)
        reading = [
            asyncio.create_task(Reading(spine, folder, *place.rsplit("-", 1)).run(), name=f"read-{place}")
            for place in partitions
        ]
        stack.callback(lambda: [task.cancel() for task in reading])
        while not stop.is_set():
            if spine.keeper.dead.is_set():
                return 1
            if broken := [task for task in reading if task.done()]:
                raise broken[0].exception() or AssertionError("reading has ended")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.05)
        spine.engine.draining = True
    return 0


DESTINATIONS = (topics.RESULTS, topics.USAGE, topics.DLQ)


class Publishing:
    """The relay's producer: a record is a line of `<topic>-<partition>`, its offset the line's number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, int] = {}

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        *,
        partition: int,
        headers: Sequence[tuple[str, bytes]],
    ) -> "asyncio.Future[None]":
        name = f"{topic}-{partition}"
        if name not in self._files:
            self._files[name] = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self._files[name], line_of(key, value, headers))
        acknowledged = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.002, lambda: acknowledged.done() or acknowledged.set_result(None))
        return acknowledged

    async def stop(self) -> None:
        for file in self._files.values():
            os.close(file)


def line_of(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), at: int = 0) -> bytes:
    record = {
        "k": _coded(key),
        "v": _coded(value),
        "h": [[name, _coded(content)] for name, content in headers],
        "t": at,
    }
    return json.dumps(record).encode() + b"\n"


def _coded(what: bytes | None) -> str | None:
    return None if what is None else base64.b64encode(what).decode()


def plain(what: str | None) -> bytes | None:
    return None if what is None else base64.b64decode(what)


class Reading:
    """One partition, as intake reads it: accept, then ack, then commit; from the last commit on after a death."""

    def __init__(self, spine: Spine, folder: Path, topic: str, partition: str) -> None:
        self.spine, self.topic, self.partition = spine, topic, int(partition)
        self.path = folder / f"{topic}-{partition}"
        self.committed = folder / f"committed-{topic}-{partition}"
        self.acked = 0
        self.told = 0

    async def run(self) -> None:
        database = self.spine.database
        told = int(self.committed.read_text()) if self.committed.exists() else None
        lines = self._lines()
        known = await database.read(lambda conn: progress.load(conn, self.topic, self.partition))
        last = None if known is None or known.next_offset < 1 else json.loads(lines[known.next_offset - 1])["t"]
        start = progress.decide(known, committed=told, begin=0, end=len(lines), timestamp=last)
        assert start.why in {"new", "on", "lost"}, start
        await database.write(lambda conn: progress.save(conn, self.topic, self.partition, start.progress))
        self.acked = self.told = told or 0
        committed_at = time.monotonic()
        while True:
            lines = self._lines()
            while self.acked < len(lines):
                batch = lines[self.acked : self.acked + 20]
                await self._take(batch)
                self.acked += len(batch)
            if time.monotonic() - committed_at > _COMMIT_S and self.acked > self.told:
                await self._commit()
                committed_at = time.monotonic()
            await asyncio.sleep(0.03)

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines() if self.path.exists() else []

    async def _commit(self) -> None:
        fresh = self.committed.with_name(f"{self.committed.name}.new")
        fresh.write_text(str(self.acked))
        fresh.replace(self.committed)
        self.told = self.acked
        place = (self.topic, self.partition)
        with contextlib.suppress(StoreError):  # told again with the next commit
            await self.spine.database.write(lambda conn: progress.saw_commit(conn, {place: self.told}))

    async def _take(self, lines: Sequence[bytes]) -> None:
        arrivals = [self._arrival(self.acked + i, json.loads(line)) for i, line in enumerate(lines)]
        for pool in {
            (a.what.provider, a.what.model) for a in arrivals if isinstance(a.what, Ask) and not a.what.failure
        }:
            await self.spine.engine.pools.ensure(pool)
        await self.spine.engine.accept(arrivals)
        killpoint.passing("accepted")

    def _arrival(self, offset: int, record: dict[str, Any]) -> Arrival:
        value, headers = plain(record["v"]), [(name, plain(content) or b"") for name, content in record["h"]]
        position = Position(self.topic, self.partition, offset, record["t"])
        what: Ask | Unreadable | Any
        if self.topic == topics.CONTROL:
            what = cancel(value, self.spine.decoder.defaults.tenant)
        else:
            operation, lane = topics.parse_request_topic(self.topic)
            what = self.spine.decoder.record(operation, lane, position, value, headers)
        return Arrival(what, position, plain(record["k"]), value, pack_headers(headers))
