"""The labelled texts through decoder, ledger and engine, as any request: calls are counted and priced as ever."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schemas.request import Lane
from store.ledger.types.arrivals import Arrival, Ask
from store.rows import pack_headers
from streams import waiting
from streams.app import running
from streams.errors import SpineError
from streams.quality.asks import ASKS
from streams.quality.score import Pair, Score, score
from streams.quality.texts import Text
from streams.settings import Settings
from streams.spine import Spine
from streams.web.front import provider_state
from streams.web.waiters import Waiters

_TENANT = "bench"
_FOR_EVER_S = 7 * 86_400.0

Step = Callable[[dict[str, Any]], None]
"""Is told each result as it comes."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What one model is asked, of which settings' defaults. `may_lack`: operations that are left out where it cannot do them."""

    settings: Settings
    operations: Sequence[str]
    may_lack: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """`left_out`: operations that could not be asked, and why."""

    scores: Sequence[Score]
    left_out: dict[str, str]


async def run(bench: Bench, texts: Sequence[Text], step: Step) -> Found:
    """On a ledger of its own that is thrown away. Raises SpineError where an operation cannot be asked that must be."""
    with tempfile.TemporaryDirectory(prefix="genai-quality-") as folder:
        place = {"data_dir": Path(folder), "database_url": ""}
        own = bench.settings.model_copy(update={**place, "drain_s": 0.0, "poll_s": 0.2, "cache_ttl_s": 0.0})
        async with _opened(own) as (spine, waiters):
            lacking = await _lacking(spine, bench.operations, texts[0])
            for operation, why in lacking.items():
                if operation not in bench.may_lack:
                    raise SpineError(f"{operation} cannot be asked. {why}")
            scores = []
            for operation in bench.operations:
                if operation not in lacking:
                    asked = [_one(spine, waiters, operation, text, step) for text in texts]
                    pairs = await asyncio.gather(*asked)
                    scores.append(score(operation, own.default_provider, _model(spine, pairs), pairs))
            return Found(scores, lacking)


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Spine, Waiters]]:
    await waiting.for_schema(settings, lambda _: None, may_migrate=True)
    async with running(settings, bootstrap=None) as spine:
        if settings.default_provider not in spine.providers:
            known = ", ".join(sorted(spine.providers))
            raise SpineError(f"There is no provider {settings.default_provider!r}; there are {known}.", exit_code=2)
        waiters = Waiters(spine)
        waiters.start()
        try:
            yield spine, waiters
        finally:
            await waiters.stop()


def _ask(spine: Spine, operation: str, text: Text) -> tuple[Ask, bytes]:
    raw = orjson.dumps({"id": text.id, "input": ASKS[operation](text), "options": {"temperature": 0.0}})
    what = spine.decoder.ask(operation, Lane.NORMAL, raw, (), place=text.id, tenant=_TENANT)
    assert isinstance(what, Ask)
    return what, raw


async def _lacking(spine: Spine, operations: Sequence[str], text: Text) -> dict[str, str]:
    """Those that cannot be asked, and why: the model that requests without one get is not made for it, or is not there."""
    states: dict[tuple[str, str], str] = {}
    found = {}
    for operation in operations:
        what, _ = _ask(spine, operation, text)
        model = what.provider, what.model
        if what.failure is None and model not in states:
            states[model] = await _away(spine, *model)
        why = states[model] if what.failure is None else what.failure.message
        if why:
            found[operation] = why
    return found


async def _away(spine: Spine, provider: str, model: str) -> str:
    """Why it cannot be called; empty: it can."""
    if not model:
        return f"{provider} has no model for it. Name one."
    ok, why = await provider_state(spine.providers[provider], model)
    return "" if ok else f"{why.rstrip('.')}. Run `genai-spine doctor`, or name another model."


async def _one(spine: Spine, waiters: Waiters, operation: str, text: Text, step: Step) -> Pair:
    what, raw = _ask(spine, operation, text)
    if what.failure is not None:
        words = what.failure.message
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
