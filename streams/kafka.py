"""Faust, with the three places where it must ask the ledger: where to read on, what was committed, what stays paused."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import faust
import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.settings import Settings

log = structlog.get_logger(__name__)

Planner = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""At assignment: request partitions to the offset to read on from. May wait for the ledger as long as it takes."""


class SpineConsumer(driver.Consumer):
    """Faust resumes all partitions by itself and seeks to committed offsets; ours are decided after that, and held."""

    planner: Planner
    is_ours: Callable[[str], bool]
    committed: dict[tuple[str, int], int]
    """Commits that the ledger has not been told of."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held: set[TP] = set()
        """Partitions that stay paused whatever Faust says: their start is not decided yet, or their lane is full."""
        self.unplanned: set[TP] = set()
        self._planning: asyncio.Task[None] | None = None

    async def perform_seek(self) -> None:
        """Every way of Faust's to (re)start reading ends here."""
        await super().perform_seek()
        ours = {tp for tp in self.assignment() if self.is_ours(tp.topic)}
        self.unplanned = ours
        super().pause_partitions(ours)
        if self._planning is not None:
            self._planning.cancel()
        self._planning = asyncio.ensure_future(self._plan(ours))

    async def _plan(self, ours: set[TP]) -> None:
        try:
            starts = await self.planner(ours)
            live = {tp: offset for tp, offset in starts.items() if tp in self.assignment()}
            if live:
                await self.seek_wait(live)
            for tp, offset in live.items():
                self._read_offset[tp] = offset
                self._committed_offset[tp] = offset or None
                self._acked[tp].clear()
                self._acked_index[tp].clear()
            self.unplanned -= ours
            self.resume_partitions(live)
        except asyncio.CancelledError:
            raise
        except Exception:
            if self.should_stop:
                return
            log.exception("could not decide where to read on; the partitions stay paused until the next assignment")
            await self.app.crash(RuntimeError("no start for the request partitions"))

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Only what is planned and not held back."""
        super().resume_partitions({tp for tp in tps if tp not in self.held and tp not in self.unplanned})

    def hold(self, topics: Iterable[str]) -> None:
        """Fetch no more of these topics, over any assignment, until `let_go`; what is fetched already is still delivered.

        Faust's own pause would drop the fetched records that its loop has not come to, and never read them again.
        """
        named = set(topics)
        tps = {tp for tp in self.assignment() if tp.topic in named and tp not in self.unplanned}
        self.held |= tps
        self._get_active_partitions().difference_update(tps)
        self._buffered_partitions.update(tps)

    def let_go(self, topics: Iterable[str]) -> None:
        """The lane has room again."""
        named = set(topics)
        gone = {tp for tp in self.held if tp.topic in named}
        self.held -= gone
        self._buffered_partitions.difference_update(gone)
        self.resume_partitions(gone & self.assignment())

    def on_buffer_drop(self, tp: TP) -> None:
        """Faust's own channel has room again: that lets nothing go that we hold."""
        if tp not in self.held:
            super().on_buffer_drop(tp)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = bool(await super()._commit(offsets))
        if done:
            self.committed.update(
                {(tp.topic, tp.partition): offset for tp, offset in offsets.items() if self.is_ours(tp.topic)}
            )
        return done


class SpineApp(faust.App):
    """A Faust app inside our own process: no web server of its own, no leader topic, no declared topics."""

    def __init__(self, bootstrap: str, settings: Settings, planner: Planner, is_ours: Callable[[str], bool]) -> None:
        self._planner, self._is_ours = planner, is_ours
        self.commits: dict[tuple[str, int], int] = {}
        super().__init__(
            settings.kafka_group,
            broker=[f"kafka://{address.strip()}" for address in bootstrap.split(",")],
            store="memory://",
            datadir=str(settings.data() / "faust"),
            web_enabled=False,
            autodiscover=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            topic_replication_factor=settings.replication_factor,
            broker_commit_interval=0.5,
            broker_session_timeout=settings.kafka_session_timeout_s,
            broker_heartbeat_interval=settings.kafka_session_timeout_s / 4,
            broker_rebalance_timeout=max(30.0, settings.kafka_session_timeout_s),
            broker_max_poll_records=1000,
            consumer_auto_offset_reset="earliest",
            stream_buffer_maxsize=1000,
            stream_wait_empty=False,
            producer_max_request_size=settings.result_max_bytes + 65_536,
        )
        self.boot_strategy.enable_web = False

    def _new_transport(self) -> Any:
        transport = super()._new_transport()
        planner, is_ours, commits = self._planner, self._is_ours, self.commits

        class Consumer(SpineConsumer):
            pass

        Consumer.planner = staticmethod(planner)
        Consumer.is_ours = staticmethod(is_ours)
        Consumer.committed = commits
        transport.Consumer = Consumer  # type: ignore[misc]
        return transport
