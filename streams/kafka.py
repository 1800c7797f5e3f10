"""Faust as an app inside our own process, with the consumer that asks the ledger."""

from collections.abc import Callable, Mapping
from typing import Any

import faust

from streams import security
from streams.consumer import Planner, SpineConsumer, Tables
from streams.settings import Settings

_METADATA_MS = 15_000
"""So late is a topic that was deleted, made again and missing at an assignment between, given to somebody at the latest."""


class SpineApp(faust.App):
    """A Faust app inside our own process: no web server of its own, no leader topic, no declared topics."""

    def __init__(
        self,
        bootstrap: str,
        settings: Settings,
        planner: Planner,
        is_ours: Callable[[str], bool],
        missed: Callable[[int], None],
    ) -> None:
        """`missed` is told how many records retention has deleted under the eyes of the consumer."""
        self._planner, self._is_ours = planner, is_ours
        self.commits: dict[tuple[str, int], int] = {}
        self.positions: Tables = dict
        self.missed = missed
        super().__init__(
            settings.kafka_group,
            broker=[f"kafka://{address.strip()}" for address in bootstrap.split(",")],
            broker_credentials=security.credentials(bootstrap),
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
            consumer_metadata_max_age_ms=_METADATA_MS,
            stream_buffer_maxsize=1000,
            stream_wait_empty=False,
            producer_max_request_size=settings.result_max_bytes + 65_536,
        )
        self.boot_strategy.enable_web = False

    def table_positions(self) -> Mapping[tuple[str, int], int]:
        """How far the tables of this app have got; see `Tables`."""
        return self.positions()

    def _new_transport(self) -> Any:
        transport = super()._new_transport()
        app, planner, is_ours, commits = self, self._planner, self._is_ours, self.commits

        class Consumer(SpineConsumer):
            pass

        Consumer.planner = staticmethod(planner)
        Consumer.is_ours = staticmethod(is_ours)
        Consumer.tables = staticmethod(app.table_positions)
        Consumer.committed = commits
        Consumer.missed = staticmethod(app.missed)
        transport.Consumer = Consumer  # type: ignore[misc]
        return transport
