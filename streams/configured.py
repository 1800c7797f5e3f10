"""What the settings say, as what parts are made of: providers, prices, bounds, tiers, the pace of batches, the decoder."""

from pydantic import SecretStr

from agents import OPERATIONS
from agents.engine import tiers
from agents.engine.batcher import Pace
from agents.engine.quotas import Bound, Bounds
from prompts import Library
from providers import PROVIDERS, Provider
from providers import Config as ProviderConfig
from providers.double.faults import Behaviour
from providers.listed import BASES, Listed
from providers.openai import OpenAIProvider
from providers.outbound import listed
from providers.prices import PriceTable
from providers.prices import table as price_table
from providers.tagging import Tags
from streams import remote
from streams.decode import Decoder, Defaults
from streams.named import make_router
from streams.settings import Settings


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
        anthropic_key=secret(settings.anthropic_api_key),
        anthropic_url=settings.anthropic_base_url,
        anthropic_slots=settings.anthropic_slots,
        bedrock_region=settings.bedrock_region,
        bedrock_url=settings.bedrock_base_url,
        bedrock_key=secret(settings.bedrock_api_key),
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


def secret(told: SecretStr | None) -> str | None:
    """Its value, where there is one."""
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
