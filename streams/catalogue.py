"""What can be called now: each provider is asked, and what it does not say is left open. Nobody's trouble is another's."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from providers import routes
from providers.base import Able, Model, Provider, Shelf, Telling
from providers.prices import Entry, PriceTable
from schemas.usage import Price
from streams.choosing import Router

_ASK_S = 6.0


@dataclass(frozen=True, slots=True)
class Section:
    """One provider. `why` is empty when all of it answers; `whole`: then it has no others."""

    provider: str
    models: tuple[Model, ...]
    why: str = ""
    whole: bool = False

    def lacks(self, model: str) -> bool:
        """Whether it lists models, and not this one."""
        there = {each.name for each in self.models}
        return bool(there) and not {model, f"{model}:latest"} & there


async def sections(providers: Mapping[str, Provider]) -> list[Section]:
    """All at once; takes as long as the slowest, and some seconds at most."""
    return list(await asyncio.gather(*map(section, providers.values())))


async def section(provider: Provider) -> Section:
    """One of them."""
    try:
        async with asyncio.timeout(_ASK_S):
            shelf = await _shelf(provider)
    except TimeoutError:
        return Section(provider.name, (), f"{provider.name} did not answer within {_ASK_S:g} s.")
    except Exception as error:  # noqa: BLE001 - a look must never end the one who looks
        return Section(provider.name, (), f"{provider.name} does not answer ({type(error).__name__}).")
    if shelf.models or shelf.away:
        return Section(provider.name, shelf.models, " ".join(shelf.away), shelf.whole)
    return Section(provider.name, (), f"{provider.name} has no model at {', '.join(provider.nodes())}.")


async def _shelf(provider: Provider) -> Shelf:
    if isinstance(provider, Telling):
        return await provider.shelf()
    return Shelf(tuple(Model(name) for name in await provider.models()))


def told(found: list[Section], prices: PriceTable, router: Router) -> dict[str, Any]:
    """In OpenAI's list shape, with more beside it: `id` is what a request names as its model, `owned_by` its provider.

    Routes first: of those only that answer, or may, since their targets' providers do.
    """
    models = [_model(section.provider, model, prices, router) for section in found for model in section.models]
    answering = {section.provider for section in found if section.models}
    return {
        "object": "list",
        "data": [*_routes(router, answering), *models],
        "providers": [{"name": each.provider, "ok": not each.why, "why": each.why} for each in found],
    }


def _routes(router: Router, answering: Collection[str]) -> list[dict[str, Any]]:
    found = []
    for route in router.table.routes.values():
        targets = [str(model) for model in routes.models(router.table, route) if model.provider in answering]
        if targets:
            found.append(
                {
                    "id": route.name,
                    "object": "model",
                    "created": 0,
                    "owned_by": "route",
                    "kind": None,
                    "targets": targets,
                }
            )
    return found


def name_of(provider: str, model: str, router: Router) -> str:
    """How a request names it: bare where that means this very model, else with its provider before it."""
    bare = routes.resolve(model, router.table, router.providers, router.default_provider)
    return model if bare == routes.Model(provider, model) else f"{provider}/{model}"


def _model(provider: str, model: Model, prices: PriceTable, router: Router) -> dict[str, Any]:
    line = prices.line(provider, model.name)
    able = router.able(routes.Model(provider, model.name)) or Able()
    return {
        "id": name_of(provider, model.name, router),
        "object": "model",
        "created": 0,
        "owned_by": provider,
        "kind": model.kind or router.kind_of(routes.Model(provider, model.name)),
        "loaded": model.loaded,
        "context_tokens": model.context_tokens or able.context_tokens,
        "output_tokens": able.output_tokens,
        "can": {
            "response_format": able.schema,
            "tools": able.tools,
            "image_url": able.images,
            "logprobs": able.logprobs,
            "params": sorted(able.params),
        },
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
