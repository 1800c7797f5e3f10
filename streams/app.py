"""Everything is wired here, top to bottom. Only this module, `streams.configured` and `streams.worker_parts` choose implementations."""

import contextlib
import gc
import math
import os
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
import uuid_utils
from prometheus_client import CollectorRegistry

from agents import OPERATIONS
from agents.engine.batcher import Batcher
from agents.engine.engine import Engine, Limits
from agents.engine.keeper import Keeper
from agents.engine.metrics import Metrics
from agents.engine.policy import Patience
from agents.engine.pruner import Pruner
from agents.guards import guarded
from agents.pipelines.defining import Shelf
from prompts import Library
from providers import Provider
from providers.outbound import Guard, listed
from store.database import Database, parse_url
from store.ledger import cache
from store.ledger.order import Rules
from store.ledger.types.records import Routes
from store.ledger.writer import Writer
from streams import keeping, library, shelves, where, worker_parts
from streams.configured import make_bounds, make_decoder, make_pace, make_tiers
from streams.decode import Decoder
from streams.jobs.base import Context
from streams.jobs.metering import Meters as JobMeters
from streams.judging import Judge
from streams.lending import Lending, lending
from streams.named import Named
from streams.prompting.registry import Registry
from streams.providing import make_prices, make_providers, secret
from streams.routing import make_routes
from streams.runs.delivering import Deliverer
from streams.runs.jobs import Jobs
from streams.runs.metering import Meters
from streams.runs.pacing import Turns
from streams.runs.runner import Others, Runner
from streams.runs.stepping import Stepper
from streams.runs.walking import Parts
from streams.schedules.file import Watched
from streams.schedules.metering import Meters as ScheduleMeters
from streams.schedules.scheduler import Scheduler
from streams.settings import Settings
from streams.spine import Spine, drain
from streams.uploaded import Uploaded

_DELIVER_S = 1.0
"""So often is looked for webhooks whose time has come; a run that ends here wakes its own."""


@contextlib.asynccontextmanager
async def running(
    settings: Settings, *, bootstrap: str | None, widths: dict[str, int] | None = None
) -> AsyncIterator[Spine]:
    """A process's parts, started in order and closed in the reverse one.

    `bootstrap` None: a web process, an engine alone. The schema must be current (`store.migrate`), the topics made.
    Leaving drains: no new leases, running calls get `drain_s`, results are flushed.
    """
    async with contextlib.AsyncExitStack() as stack:
        spine = await _core(settings, widths or {}, stack)
        if bootstrap is not None:
            await worker_parts.start(spine, bootstrap, widths or {}, stack)
        _settle()
        yield spine


def _settle() -> None:
    """Modules and parts live as long as the process; walking them stopped everything for 100 ms at each full collection."""
    gc.collect()
    gc.freeze()


async def _core(settings: Settings, widths: dict[str, int], stack: contextlib.AsyncExitStack) -> Spine:
    ground = await _lay_ground(settings, widths, stack)
    engine = _make_engine(ground)
    keeper = await _start_keeper(ground, engine)
    _start_batcher(ground, engine)
    meters = Meters(ground.metrics.registry)
    deliverer = _start_deliverer(ground, meters)
    keys = _lending(settings, ground.database, stack)
    jobs = _make_jobs(ground, meters, deliverer)
    pipelines = shelves.load(settings, Uploaded(ground.database), ground.database)
    own = _own(ground, engine, Turns(keys), pipelines)
    runs = _start_runs(ground, own, jobs, meters, deliverer)
    schedules = _start_schedules(ground, pipelines, runs)
    pruner = Pruner(ground.database, keeping.keep(settings))
    pruner.start()
    stack.push_async_callback(pruner.aclose)
    named = Named(settings, ground.decoder.router, ground.metrics, ground.database, engine.pools.is_closed)
    named.start()
    stack.push_async_callback(named.aclose)
    return Spine(
        settings,
        ground.worker,
        ground.database,
        ground.routes,
        ground.writer,
        engine,
        keeper,
        ground.decoder,
        ground.providers,
        ground.metrics,
        ground.registry,
        runs,
        named,
        schedules,
        pipelines,
        keys,
    )


@dataclass(frozen=True)
class _Ground:
    """What the other parts stand on. `stack`: what closes them."""

    settings: Settings
    stack: contextlib.AsyncExitStack
    worker: str
    database: Database
    routes: Routes
    providers: dict[str, Provider]
    metrics: Metrics
    prompts: Library
    writer: Writer
    registry: Registry
    decoder: Decoder


async def _lay_ground(settings: Settings, widths: dict[str, int], stack: contextlib.AsyncExitStack) -> _Ground:
    worker = f"{platform.node()}-{os.getpid()}-{str(uuid_utils.uuid7())[-12:]}"
    structlog.contextvars.bind_contextvars(worker=worker)
    stack.callback(structlog.contextvars.unbind_contextvars, "worker")
    database = Database(parse_url(where.ledger_url(settings)))
    stack.push_async_callback(database.aclose)
    routes = make_routes(settings, widths)
    providers = make_providers(settings)
    for provider in providers.values():
        stack.push_async_callback(provider.aclose)
    metrics, prompts = Metrics(CollectorRegistry()), library.load(settings)
    decoder = make_decoder(settings, providers, prompts)  # first: routes that are wrong are told before anything begins
    writer = Writer(database, routes, worker)
    writer.start()
    stack.push_async_callback(writer.aclose)
    registry = Registry(database, prompts, routes, settings.poll_s, settings.prompts_max_bytes)
    await registry.start()
    stack.push_async_callback(registry.aclose)
    return _Ground(settings, stack, worker, database, routes, providers, metrics, prompts, writer, registry, decoder)


def _make_engine(ground: _Ground) -> Engine:
    settings, metrics = ground.settings, ground.metrics
    judge = Judge(ground.decoder, ground.database, settings.poll_s)
    engine = Engine(
        ground.writer,
        ground.database,
        operations=guarded(OPERATIONS, settings.guards, lambda *verdict: metrics.guards.labels(*verdict).inc(), judge),
        providers=ground.providers,
        prices=make_prices(settings),
        library=ground.prompts,
        metrics=metrics,
        ensure=ground.registry.ensure,
        limits=Limits(
            Patience(settings.max_attempts, settings.retry_base_s, settings.retry_cap_s),
            settings.default_timeout_s,
            settings.poll_s,
            bounds=make_bounds(settings),
            rules=Rules(
                aging_s=(math.inf, settings.aging_normal_s, settings.aging_batch_s), lend_after_s=settings.lend_after_s
            ),
            tiers=make_tiers(settings),
        ),
        near=ground.decoder.router.near,
    )
    judge.start(engine)
    return engine


async def _start_keeper(ground: _Ground, engine: Engine) -> Keeper:
    settings = ground.settings
    bounds = cache.Bounds(settings.cache_ttl_s, settings.cache_max_bytes)
    keeper = Keeper(
        engine,
        ground.database,
        ground.routes,
        ground.worker,
        lease_s=settings.lease_s,
        poll_s=settings.poll_s,
        bounds=bounds,
    )
    await keeper.start()
    ground.stack.push_async_callback(keeper.aclose)
    ground.stack.push_async_callback(drain, engine, keeper, settings.drain_s)
    return keeper


def _start_batcher(ground: _Ground, engine: Engine) -> None:
    batcher = Batcher(engine, ground.database, ground.routes, ground.worker, make_pace(ground.settings))
    batcher.start()
    ground.stack.push_async_callback(batcher.aclose)


def _start_deliverer(ground: _Ground, meters: Meters) -> Deliverer:
    settings = ground.settings
    deliverer = Deliverer(
        ground.database, Guard("stranger", listed(settings.outbound())), meters, max(_DELIVER_S, settings.poll_s)
    )
    deliverer.start()
    ground.stack.push_async_callback(deliverer.aclose)
    return deliverer


def _lending(settings: Settings, database: Database, stack: contextlib.AsyncExitStack) -> Lending:
    made = lending(secret(settings.redis_url), database)
    stack.push_async_callback(made.aclose)
    return made


def _make_jobs(ground: _Ground, meters: Meters, deliverer: Deliverer) -> Jobs:
    settings, database = ground.settings, ground.database
    patience = Patience(settings.max_attempts, settings.retry_base_s, settings.retry_cap_s)
    prices, counted = make_prices(settings), JobMeters(ground.metrics.registry)

    def context(run_id: str) -> Context:
        return Context(settings, database, prices, counted, run_id)

    return Jobs(database, ground.routes, ground.worker, settings.poll_s, patience, context, meters, deliverer.look)


def _own(ground: _Ground, engine: Engine, turns: Turns, pipelines: Shelf) -> Parts:
    return Parts(
        ground.database,
        ground.writer,
        engine,
        ground.decoder,
        ground.registry,
        turns,
        ground.routes,
        ground.worker,
        pipelines.known,
        ground.settings.run_max_bytes,
    )


def _start_runs(ground: _Ground, own: Parts, jobs: Jobs, meters: Meters, deliverer: Deliverer) -> Runner:
    settings = ground.settings
    stepper = Stepper(own, settings.poll_s, meters, deliverer.look)
    runs = Runner(
        own.database,
        own.writer,
        own.engine,
        own.decoder,
        own.registry,
        own.turns,
        own.routes,
        own.worker,
        settings.poll_s,
        meters,
        deliverer.look,
        Others(jobs.care, stepper.care),
    )
    runs.start()
    ground.stack.push_async_callback(runs.aclose)
    return runs


def _start_schedules(ground: _Ground, pipelines: Shelf, runs: Runner) -> Scheduler:
    settings = ground.settings
    schedules = Scheduler(
        ground.database,
        ground.decoder,
        pipelines,
        ground.registry,
        ground.worker,
        settings.default_tenant,
        Watched(settings, ground.decoder, pipelines),
        ScheduleMeters(ground.metrics.registry),
        runs.look,
        settings.poll_s,
    )
    schedules.start()
    ground.stack.push_async_callback(schedules.aclose)
    return schedules
