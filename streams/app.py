"""Everything is wired here, top to bottom; it is the only module that chooses implementations."""

import asyncio
import contextlib
import gc
import math
import os
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog
import uuid_utils
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from agents import OPERATIONS
from agents.engine import Engine, Limits, tiers
from agents.engine.batcher import Batcher, Pace
from agents.engine.keeper import Keeper
from agents.engine.metrics import Metrics
from agents.engine.policy import Patience
from agents.engine.pruner import Pruner
from agents.engine.quotas import Bound, Bounds
from agents.guards import guarded
from agents.pipelines.defining import Shelf
from prompts import Library
from providers import PROVIDERS, Provider
from providers import Config as ProviderConfig
from providers.double.faults import Behaviour
from providers.listed import BASES, Listed
from providers.openai import OpenAIProvider
from providers.outbound import Guard, listed
from providers.prices import PriceTable
from providers.prices import table as price_table
from providers.tagging import Tags
from store.database import Database, parse_url
from store.ledger import cache
from store.ledger.order import Rules
from store.ledger.types.records import Routes
from store.ledger.writer import Writer
from streams import keeping, library, remote, shelves, topics, where
from streams.decode import Decoder, Defaults
from streams.intake import Intake
from streams.jobs.base import Context
from streams.jobs.metering import Meters as JobMeters
from streams.judging import Judge
from streams.kafka import SpineApp
from streams.lending import Lending, lending
from streams.named import Named, make_router
from streams.planner import Planner
from streams.prompting.registry import Registry
from streams.relay import Relay
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
from streams.tables import Costs
from streams.uploaded import Uploaded

log = structlog.get_logger(__name__)

_DELIVER_S = 1.0
"""So often is looked for webhooks whose time has come; a run that ends here wakes its own."""


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
    closing: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)


def make_providers(settings: Settings) -> dict[str, Provider]:
    """Every provider of the table, and one for each name of GENAI_COMPATIBLE; none connects before its first call."""
    config = ProviderConfig(
        ollama_urls=settings.ollama_nodes(),
        ollama_slots=settings.ollama_slots,
        ollama_num_ctx=settings.ollama_num_ctx,
        ollama_keep_alive=settings.ollama_keep_alive,
        ollama_loaded=settings.ollama_loaded,
        ollama_gather_s=settings.ollama_gather_s,
        ollama_gpu_nodes=tuple(part.strip() for part in settings.ollama_gpu_nodes.split(",") if part.strip()),
        local_slots=settings.local_slots,
        local_threads=settings.local_threads,
        anthropic_key=_secret(settings.anthropic_api_key),
        anthropic_url=settings.anthropic_base_url,
        anthropic_slots=settings.anthropic_slots,
        bedrock_region=settings.bedrock_region,
        bedrock_url=settings.bedrock_base_url,
        bedrock_key=_secret(settings.bedrock_api_key),
        bedrock_slots=settings.bedrock_slots,
        fake_url=settings.fake_url,
        fake_slots=settings.fake_slots,
        fake_paid=settings.fake_paid,
        outbound=listed(settings.outbound()),
        tags=Tags(listed(settings.told_hosts())),
        fake=Behaviour(
            seed=settings.fake_seed,
            latency_s=settings.fake_latency_s,
            tail=settings.fake_tail,
            failures=settings.fake_failures,
        ),
        openai=remote.openai(settings),
    )
    servers = {
        server.name: OpenAIProvider(server, config.outbound, config.tags) for server in remote.compatible(settings)
    }
    return {name: make(config) for name, make in PROVIDERS.items()} | servers


def _secret(told: SecretStr | None) -> str | None:
    return None if told is None else told.get_secret_value()


def make_prices(settings: Settings) -> PriceTable:
    """The table of the settings; what it does not name is priced by the defaults, or not at all."""
    entries = {name: entry.model_dump() for name, entry in settings.prices.items()}
    # by address: at one's own, a server of that name is nobody's in the list
    servers = {server.name: server.urls[0] for server in (remote.openai(settings), *remote.compatible(settings))}
    return price_table(entries, settings.prices_version, Listed({**BASES, **servers}))


def make_bounds(settings: Settings) -> Bounds:
    """What models may be asked for in a minute, and at a time."""
    return Bounds({name: Bound(entry.rpm, entry.tpm, entry.concurrency) for name, entry in settings.limits.items()})


def make_tiers(settings: Settings) -> tiers.Rules:
    """When a call may wait for a lower price."""
    return tiers.Rules(
        settings.tier,
        settings.batch_least_s,
        settings.flex_least_s,
        settings.flex_timeout_s,
        settings.batch_reserve_s,
    )


def make_pace(settings: Settings) -> Pace:
    """Of batches at providers."""
    return Pace(settings.batch_gather_s, settings.batch_most, settings.batch_poll_s, settings.batch_settle_s)


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
            await _worker_parts(spine, bootstrap, widths or {}, stack)
        _settle()
        yield spine


def _settle() -> None:
    """Modules and parts live as long as the process; walking them stopped everything for 100 ms at each full collection."""
    gc.collect()
    gc.freeze()


def _lending(settings: Settings, database: Database, stack: contextlib.AsyncExitStack) -> Lending:
    made = lending(_secret(settings.redis_url), database)
    stack.push_async_callback(made.aclose)
    return made


async def _core(settings: Settings, widths: dict[str, int], stack: contextlib.AsyncExitStack) -> Spine:
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
    decoder = make_decoder(settings, providers, prompts)
    writer = Writer(database, routes, worker)
    writer.start()
    stack.push_async_callback(writer.aclose)
    registry = Registry(database, prompts, routes, settings.poll_s, settings.prompts_max_bytes)
    await registry.start()
    stack.push_async_callback(registry.aclose)
    decoder = make_decoder(settings, providers, prompts)
    judge = Judge(decoder, database, settings.poll_s)
    engine = Engine(
        writer,
        database,
        operations=guarded(OPERATIONS, settings.guards, lambda *verdict: metrics.guards.labels(*verdict).inc(), judge),
        providers=providers,
        prices=make_prices(settings),
        library=prompts,
        metrics=metrics,
        ensure=registry.ensure,
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
        near=decoder.router.near,
    )
    judge.start(engine)
    bounds = cache.Bounds(settings.cache_ttl_s, settings.cache_max_bytes)
    keeper = Keeper(engine, database, routes, worker, lease_s=settings.lease_s, poll_s=settings.poll_s, bounds=bounds)
    await keeper.start()
    stack.push_async_callback(keeper.aclose)
    stack.push_async_callback(_drain, engine, keeper, settings.drain_s)
    batcher = Batcher(engine, database, routes, worker, make_pace(settings))
    batcher.start()
    stack.push_async_callback(batcher.aclose)
    meters = Meters(metrics.registry)
    deliverer = Deliverer(
        database, Guard("stranger", listed(settings.outbound())), meters, max(_DELIVER_S, settings.poll_s)
    )
    deliverer.start()
    stack.push_async_callback(deliverer.aclose)
    keys = _lending(settings, database, stack)
    jobs = _make_jobs(settings, database, routes, worker, metrics, meters, deliverer)
    pipelines = shelves.load(settings, Uploaded(database), database)
    turns = Turns(keys)
    own = Parts(
        database, writer, engine, decoder, registry, turns, routes, worker, pipelines.known, settings.run_max_bytes
    )
    stepper = Stepper(own, settings.poll_s, meters, deliverer.look)
    runs = Runner(
        database,
        writer,
        engine,
        decoder,
        registry,
        turns,
        routes,
        worker,
        settings.poll_s,
        meters,
        deliverer.look,
        Others(jobs.care, stepper.care),
    )
    runs.start()
    stack.push_async_callback(runs.aclose)
    schedules = Scheduler(
        database,
        decoder,
        pipelines,
        registry,
        worker,
        settings.default_tenant,
        Watched(settings, decoder, pipelines),
        ScheduleMeters(metrics.registry),
        runs.look,
        settings.poll_s,
    )
    schedules.start()
    stack.push_async_callback(schedules.aclose)
    pruner = Pruner(database, keeping.keep(settings))
    pruner.start()
    stack.push_async_callback(pruner.aclose)
    named = Named(settings, decoder.router, metrics, database, engine.pools.is_closed)
    named.start()
    stack.push_async_callback(named.aclose)
    return Spine(
        settings,
        worker,
        database,
        routes,
        writer,
        engine,
        keeper,
        decoder,
        providers,
        metrics,
        registry,
        runs,
        named,
        schedules,
        pipelines,
        keys,
    )


def _make_jobs(
    settings: Settings,
    database: Database,
    routes: Routes,
    worker: str,
    metrics: Metrics,
    meters: Meters,
    deliverer: Deliverer,
) -> Jobs:
    patience = Patience(settings.max_attempts, settings.retry_base_s, settings.retry_cap_s)
    prices, counted = make_prices(settings), JobMeters(metrics.registry)

    def context(run_id: str) -> Context:
        return Context(settings, database, prices, counted, run_id)

    return Jobs(database, routes, worker, settings.poll_s, patience, context, meters, deliverer.look)


async def _drain(engine: Engine, keeper: Keeper, grace_s: float) -> None:
    """Who was declared dead has no answer to wait for: its calls would only be in the way of those who have their slots."""
    await engine.drain(0.0 if keeper.dead.is_set() else grace_s)


def make_decoder(settings: Settings, providers: dict[str, Provider], prompts: Library) -> Decoder:
    """What requests that do not say get."""
    defaults = Defaults(
        settings.default_tenant,
        settings.tenants,
        settings.cache_ttl_s if settings.cache_max_bytes else 0.0,
        settings.cache_tenants,
        settings.patience_s,
        settings.tenants_bind,
    )
    return Decoder(OPERATIONS, providers, defaults, prompts, make_router(settings, providers), make_prices(settings))


async def _worker_parts(spine: Spine, bootstrap: str, widths: dict[str, int], stack: contextlib.AsyncExitStack) -> None:
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
    stack.push_async_callback(_drain, spine.engine, spine.keeper, settings.drain_s)
    spine.intake.start()
    spine.faust.finalize()
    # also when its start is cancelled: it leaves tasks that nothing else ends
    stack.push_async_callback(_stop_faust, spine.faust)
    await spine.faust.start()
    stack.push_async_callback(spine.intake.aclose)


_FAUST_STOP_S = 10.0


async def _stop_faust(faust: SpineApp) -> None:
    """Faust's stop may wait for ever, for a commit that its consumer's thread took with it; offsets that were not committed
    are delivered again, which the ledger answers with nothing.
    """
    stopping = asyncio.ensure_future(faust.stop())
    done, _ = await asyncio.wait({stopping}, timeout=_FAUST_STOP_S)
    if not done:
        log.warning("Faust does not stop; it is left behind", seconds=_FAUST_STOP_S)
        stopping.cancel()
