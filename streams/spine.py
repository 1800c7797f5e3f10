"""What a process is made of; `streams.app` makes it."""

from dataclasses import dataclass

from agents.engine.engine import Engine
from agents.engine.keeper import Keeper
from agents.engine.metrics import Metrics
from agents.pipelines.defining import Shelf
from providers import Provider
from store.database import Database
from store.ledger.types.records import Routes
from store.ledger.writer import Writer
from streams.decode import Decoder
from streams.intake import Intake
from streams.kafka import SpineApp
from streams.lending import Lending
from streams.named import Named
from streams.prompting.registry import Registry
from streams.relay import Relay
from streams.runs.runner import Runner
from streams.schedules.scheduler import Scheduler
from streams.settings import Settings
from streams.tables import Costs


@dataclass
class Spine:
    """One process's parts. `intake`, `relay`, `costs` and `faust` are the worker's; a web process has none of them."""

    settings: Settings
    worker: str
    database: Database
    routes: Routes
    writer: Writer
    engine: Engine
    keeper: Keeper
    decoder: Decoder
    providers: dict[str, Provider]
    metrics: Metrics
    registry: Registry
    runs: Runner
    named: Named
    schedules: Scheduler
    pipelines: Shelf
    lending: Lending
    faust: SpineApp | None = None
    intake: Intake | None = None
    relay: Relay | None = None
    costs: Costs | None = None


async def drain(engine: Engine, keeper: Keeper, grace_s: float) -> None:
    """Who was declared dead has no answer to wait for: its calls would only be in the way of those who have their slots."""
    await engine.drain(0.0 if keeper.dead.is_set() else grace_s)
