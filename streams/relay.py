"""The outbox to Kafka: in the order of each partition, idempotent, in batches, then marked.

A crash between publishing and marking repeats records; readers fold by (tenant, operation, id), highest generation.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import aiokafka
import orjson
import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from schemas.errors import ErrorType, Failure
from store import killpoint
from store.database import Database
from store.errors import StoreError
from store.ledger import outgoing
from store.ledger.transaction import Committed
from store.ledger.types.records import OutboxRow, Routes
from store.ledger.writer import Writer
from streams import security
from streams.errors import SpineError

log = structlog.get_logger(__name__)

BATCH = 1000
_RETRY_S = 0.5


def producer(bootstrap: str, max_bytes: int) -> aiokafka.AIOKafkaProducer:
    """Idempotent, acknowledged by all, no linger: batches form by themselves under load."""
    return aiokafka.AIOKafkaProducer(
        **security.client(bootstrap),
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_request_size=max_bytes + 65_536,
    )


class Relay:
    """Publishes what this process has leased. `start` and `aclose` belong to whoever made it."""

    def __init__(
        self, database: Database, writer: Writer, routes: Routes, bootstrap: str, *, max_bytes: int, poll_s: float
    ) -> None:
        self.database, self.writer, self.routes = database, writer, routes
        self.bootstrap, self.max_bytes, self.poll_s = bootstrap, max_bytes, poll_s
        self.ok, self.why, self.since = False, "not connected yet", time.time()
        self.published = 0
        self._ledger = ""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._producer: aiokafka.AIOKafkaProducer | None = None
        writer.listeners.append(self._committed)

    def start(self) -> None:
        """Begin; the broker may come later."""
        self._task = asyncio.create_task(self._run(), name="relay")

    async def aclose(self, flush_s: float = 10.0) -> None:
        """Publish what is ready, then stop."""
        until = time.monotonic() + flush_s
        while self.ok and self._task is not None and time.monotonic() < until and await self._left():
            self._wake.set()
            await asyncio.sleep(0.05)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()

    async def _left(self) -> bool:
        """Whether anything of ours waits, or of nobody: the first results of all may have come just now."""
        worker = self.writer.worker
        try:
            return await self.database.read(lambda conn: outgoing.waits(conn, worker) or outgoing.unowned(conn))
        except StoreError:
            return False

    def _committed(self, done: Committed) -> None:
        if done.published:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._connect()
                while await self._round():
                    pass
                self._healthy(None)
                await self._rest()
            except (KafkaError, StoreError, SpineError, OSError) as error:
                self._healthy(error)
                await asyncio.sleep(_RETRY_S)
            except Exception as error:
                log.exception("a defect in publishing; trying again")
                self._healthy(error)
                await asyncio.sleep(_RETRY_S)

    async def _connect(self) -> None:
        if not self._ledger:
            self._ledger = await self.database.read(outgoing.ledger_id)
        if self._producer is None:
            made = producer(self.bootstrap, self.max_bytes)
            try:
                await made.start()
            except KafkaConnectionError:
                await made.stop()
                if (refusal := await security.refusal(self.bootstrap)) is not None:
                    raise refusal from None
                raise
            except BaseException:
                await made.stop()
                raise
            self._producer = made

    async def _rest(self) -> None:
        """Until something was committed, or a poll's time.

        No `wait_for`: up to Python 3.11 it swallows a cancel that comes in the moment in which it is woken.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.poll_s):
                await self._wake.wait()
        self._wake.clear()

    async def _round(self) -> bool:
        """One batch; False: nothing waits."""
        worker, ledger = self.writer.worker, self._ledger
        rows = await self.database.read(lambda conn: outgoing.pending(conn, worker, BATCH, ledger))
        if rows:
            await self._publish(rows)
            return True
        free = await self.database.read(outgoing.unowned)
        if free:
            await self.database.write(lambda conn: outgoing.lease_places(conn, worker))
        return free

    async def _publish(self, rows: Sequence[OutboxRow]) -> None:
        assert self._producer is not None
        futures = [
            await self._producer.send(row.topic, row.value, row.key, partition=row.partition, headers=row.headers)
            if not self._too_large(row)
            else None
            for row in rows
        ]
        sent: list[int] = []
        refused: list[OutboxRow] = []
        for row, future in zip(rows, futures, strict=True):
            if future is None:
                refused.append(row)
                continue
            try:
                await future
                sent.append(row.pk)
            except (MessageSizeTooLargeError, RecordTooLargeError):
                refused.append(row)
        self.published += len(sent)
        killpoint.passing("published")
        await self.writer.mark(sent)
        for row in refused:
            await self._replace(row)

    def _too_large(self, row: OutboxRow) -> bool:
        return len(row.value or b"") + len(row.key or b"") + 2048 > self.max_bytes

    async def _replace(self, row: OutboxRow) -> None:
        """A result that the broker refuses goes out as `result_too_large`, with the address to fetch it."""
        value = too_large(row.value or b"{}", self.routes.address)
        log.warning("a record is too large for its topic", topic=row.topic, bytes=len(row.value or b""))
        await self.database.write(lambda conn: outgoing.replace(conn, row.pk, value))

    def _healthy(self, error: BaseException | None) -> None:
        if error is None and not self.ok:
            self.ok, self.why, self.since = True, "", time.time()
            log.info("publishing to Kafka", bootstrap=self.bootstrap)
        elif error is not None:
            if self.ok or self.why == "not connected yet":
                self.ok, self.since = False, time.time()
                log.error("the broker is away; results wait in the ledger", error=str(error))
            self.why = str(error) or type(error).__name__


def too_large(value: bytes, address: str) -> bytes:
    """The small result that stands for a large one."""
    result = orjson.loads(value)
    where = (
        f"{address}/v1/requests/{result.get('id')}?tenant={result.get('tenant')}&operation={result.get('operation')}"
    )
    failure = Failure(
        type=ErrorType.RESULT_TOO_LARGE,
        message=f"the result has {len(value)} bytes, more than its topic takes; fetch it at {where}",
        details={"bytes": len(value), "url": where},
    )
    result.update(status="failed", output=None, error=failure.model_dump(mode="json"))
    return orjson.dumps(result)
