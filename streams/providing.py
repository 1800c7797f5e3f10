"""The providers that the settings name, and what their models cost; without the engine, which a look at them does not need."""

from pydantic import SecretStr

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
