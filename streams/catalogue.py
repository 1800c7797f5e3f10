"""What can be called now: each provider is asked, and what it does not say is left open. Nobody's trouble is another's."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.base import Model, Provider, Shelf, Telling
from providers.prices import Entry, PriceTable
from schemas.usage import Price

_ASK_S = 6.0


@dataclass(frozen=True, slots=True)
class Section:
    """One provider. `why` is empty when all of it answers."""

    provider: str
    models: tuple[Model, ...]
    why: str = ""


async def sections(providers: Mapping[str, Provider]) -> list[Section]:
    """All at once; takes as long as the slowest, and some seconds at most."""
    return list(await asyncio.gather(*map(_section, providers.values())))


async def _section(provider: Provider) -> Section:
    try:
        async with asyncio.timeout(_ASK_S):
            shelf = await _shelf(provider)
    except TimeoutError:
        return Section(provider.name, (), f"{provider.name} did not answer within {_ASK_S:g} s.")
    except Exception as error:  # noqa: BLE001 - a look must never end the one who looks
        return Section(provider.name, (), f"{provider.name} does not answer ({type(error).__name__}).")
    if shelf.models or shelf.away:
        return Section(provider.name, shelf.models, " ".join(shelf.away))
    return Section(provider.name, (), f"{provider.name} has no model at {', '.join(provider.nodes())}.")


async def _shelf(provider: Provider) -> Shelf:
    if isinstance(provider, Telling):
        return await provider.shelf()
    return Shelf(tuple(Model(name) for name in await provider.models()))


def told(found: list[Section], prices: PriceTable) -> dict[str, Any]:
    """In OpenAI's list shape, with more beside it: `id` is what a request names as its model, `owned_by` its provider."""
    models = [_model(section.provider, model, prices) for section in found for model in section.models]
    return {
        "object": "list",
        "data": models,
        "providers": [{"name": each.provider, "ok": not each.why, "why": each.why} for each in found],
    }


def _model(provider: str, model: Model, prices: PriceTable) -> dict[str, Any]:
    line = prices.line(provider, model.name)
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": provider,
        "kind": model.kind,
        "loaded": model.loaded,
        "context_tokens": model.context_tokens,
        "price": None if line is None else _price(*line),
    }


def _price(entry: Entry, price: Price) -> dict[str, Any]:
    """Dollars as decimal strings, under the names that GENAI_PRICES takes."""
    return {
        "input_per_million": str(entry.input),
        "output_per_million": str(entry.output),
        "cached_per_million": str(entry.input if entry.cached is None else entry.cached),
        "per_gpu_second": str(entry.gpu_second),
        "source": price.source,
        "version": price.version,
    }
