"""What the settings say, as what parts are made of: bounds, tiers, the pace of batches, the decoder."""

from agents import OPERATIONS
from agents.engine import tiers
from agents.engine.batcher import Pace
from agents.engine.quotas import Bound, Bounds
from prompts import Library
from providers import Provider
from streams.decode import Decoder, Defaults
from streams.naming import make_router
from streams.providing import make_prices
from streams.settings import Settings


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
