"""The parts that only a worker has: Faust and its consumer, the intake, the relay, the costs."""

import asyncio
import contextlib

import structlog

from agents import OPERATIONS
from streams import topics
from streams.intake import Intake
from streams.kafka import SpineApp
from streams.planner import Planner
from streams.relay import Relay
from streams.spine import Spine, drain
from streams.tables import Costs

log = structlog.get_logger(__name__)

_FAUST_STOP_S = 10.0


async def start(spine: Spine, bootstrap: str, widths: dict[str, int], stack: contextlib.AsyncExitStack) -> None:
    """They are closed before the other parts."""
    settings = spine.settings
    (settings.data() / "faust").mkdir(parents=True, exist_ok=True)
    missed = spine.metrics.missed.inc
    planner = Planner(spine.database, bootstrap, settings.kafka_group, missed)
    request_topics = {t.name for t in topics.table(settings, OPERATIONS) if t.name.startswith(topics.REQUESTS)} | {
        topics.CONTROL
    }
    spine.faust = SpineApp(bootstrap, settings, planner, request_topics.__contains__, missed)
    spine.intake = Intake(
        spine.faust,
        spine.decoder,
        spine.writer,
        spine.database,
        spine.engine,
        spine.registry,
        window=settings.intake_window,
        ledger_window=settings.ledger_window,
    )
    spine.costs = Costs(spine.faust, widths.get(topics.USAGE, settings.partitions))
    spine.relay = Relay(
        spine.database,
        spine.writer,
        spine.routes,
        bootstrap,
        max_bytes=settings.result_max_bytes,
        poll_s=settings.poll_s,
    )
    spine.relay.start()
    stack.push_async_callback(spine.relay.aclose)
    # before the relay's last flush, which is of its results
    stack.push_async_callback(drain, spine.engine, spine.keeper, settings.drain_s)
    spine.intake.start()
    spine.faust.finalize()
    # also when its start is cancelled: it leaves tasks that nothing else ends
    stack.push_async_callback(_stop_faust, spine.faust)
    await spine.faust.start()
    stack.push_async_callback(spine.intake.aclose)


async def _stop_faust(faust: SpineApp) -> None:
    """Faust's stop may wait for ever, for a commit that its consumer's thread took with it; offsets that were not committed
    are delivered again, which the ledger answers with nothing.
    """
    stopping = asyncio.ensure_future(faust.stop())
    done, _ = await asyncio.wait({stopping}, timeout=_FAUST_STOP_S)
    if not done:
        log.warning("Faust does not stop; it is left behind", seconds=_FAUST_STOP_S)
        stopping.cancel()
