"""The labelled texts through decoder, ledger and engine, as any request: calls are counted and priced as ever."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from schemas.request import Lane
from store.ledger.types.arrivals import Arrival, Ask
from store.rows import pack_headers
from streams import waiting
from streams.app import running
from streams.errors import SpineError
from streams.quality.score import Pair, Score, score
from streams.quality.texts import ASKS, Text
from streams.settings import Settings
from streams.spine import Spine
from streams.web.front import provider_state
from streams.web.waiters import Waiters

_TENANT = "bench"
_FOR_EVER_S = 7 * 86_400.0

Step = Callable[[dict[str, Any]], None]
"""Is told each result as it comes."""


async def bench(settings: Settings, operations: Sequence[str], texts: Sequence[Text], step: Step) -> list[Score]:
    """The default provider and model of `settings`, on a ledger of its own that is thrown away. Raises SpineError."""
    with tempfile.TemporaryDirectory(prefix="genai-quality-") as folder:
        place = {"data_dir": Path(folder), "database_url": ""}
        own = settings.model_copy(update={**place, "drain_s": 0.0, "poll_s": 0.2, "cache_ttl_s": 0.0})
        async with _opened(own) as (spine, waiters):
            scores = []
            for operation in operations:
                asked = [_one(spine, waiters, operation, text, step) for text in texts]
                pairs = await asyncio.gather(*asked)
                scores.append(score(operation, settings.default_provider, _model(spine, pairs), pairs))
            return scores


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Spine, Waiters]]:
    await waiting.for_schema(settings, lambda _: None, may_migrate=True)
    async with running(settings, bootstrap=None) as spine:
        provider = spine.providers.get(settings.default_provider)
        if provider is None:
            known = ", ".join(sorted(spine.providers))
            raise SpineError(f"There is no provider {settings.default_provider!r}; there are {known}.", exit_code=2)
        ok, why = await provider_state(provider, settings.default_model)
        if not ok:
            raise SpineError(f"{why}. Run `genai-spine doctor`, or name another --model.")
        waiters = Waiters(spine)
        waiters.start()
        try:
            yield spine, waiters
        finally:
            await waiters.stop()


async def _one(spine: Spine, waiters: Waiters, operation: str, text: Text, step: Step) -> Pair:
    raw = orjson.dumps({"id": text.id, "input": ASKS[operation](text), "options": {"temperature": 0.0}})
    what = spine.decoder.ask(operation, Lane.NORMAL, raw, (), place=text.id, tenant=_TENANT)
    if not isinstance(what, Ask) or what.failure is not None:
        words = what.failure.message if what.failure else ""
        raise SpineError(f"The text {text.id} is no request for {operation} ({words}). Install the package again.")
    await spine.engine.pools.ensure((what.provider, what.model))
    (found,) = await spine.writer.accept([Arrival(what, None, None, raw, pack_headers([]))])
    assert found.pk is not None
    body = await waiters.wait((found.pk, found.generation), _FOR_EVER_S)
    if body is None:
        raise SpineError(f"{operation} of {text.id} got no answer. See `genai-spine doctor`.")
    result: dict[str, Any] = orjson.loads(body)
    step(result)
    return text, result


def _model(spine: Spine, pairs: Sequence[Pair]) -> str:
    """The one that answered; failures may name none."""
    named = (result["model"] for _, result in pairs if result["model"])
    return next(named, spine.settings.default_model or "")
