"""What a call may cost at most, before it is made, and at what it is booked once it has ended. It asks nobody and keeps nothing."""

import time
from dataclasses import replace
from typing import Any

import uuid_utils

from agents.engine import packed, tiering
from prompts import Rendered
from providers.base import Able, Provider, able_of
from providers.calls import AnyCall, Spent
from providers.errors import Broken, ProviderError
from providers.prices import OUTPUT_LIMIT, PriceTable, upper_estimate
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Call, Closing


class Tariff:
    """Of one request. `started`: when its call began, by `time.perf_counter`."""

    __slots__ = ("_claim", "_prices", "_provider", "_traits")

    def __init__(self, claim: Claimed, provider: Provider, prices: PriceTable) -> None:
        self._claim, self._provider, self._prices = claim, provider, prices
        self._traits = provider.traits

    def most(self, call: AnyCall) -> Spent:
        """What it uses at most."""
        return upper_estimate(call, _longest(self._provider, self._claim.model))

    def intent(
        self, call: AnyCall, digest: bytes, prompt: Rendered | None, *, number: int, node: str, tier: str = ""
    ) -> Call:
        """As the journal has a call that is to be made."""
        estimate = self.most(call)
        if tier:
            estimate = replace(estimate, tier=tier)
        priced = self._prices.of(self._claim.provider, self._claim.model, estimate)
        if priced.nano is None and estimate.tier in tiering.CHEAPER:  # at most what it would cost otherwise
            priced = self._prices.of(self._claim.provider, self._claim.model, replace(estimate, tier=""))
        return Call(
            id=str(uuid_utils.uuid7()),
            number=number,
            kind=packed.kind(call),
            node=node,
            input_hash=digest,
            estimate_tokens=estimate.input_tokens,
            estimate_output=estimate.output_tokens,
            estimate_nano=priced.nano,
            price_source=priced.price.source if priced.price else None,
            price_version=priced.price.version if priced.price else None,
            prompt=prompt.slug if prompt else None,
            prompt_version=prompt.version if prompt else None,
        )

    def booked(self, call: Call, outcome: Any, spent: Spent, started: float) -> Closing:
        """A call that used so much."""
        return Closing(
            call,
            outcome,
            event=True,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            cached_tokens=spent.cached_tokens,
            cache_write_tokens=spent.cache_write_tokens,
            cache_write_1h_tokens=spent.cache_write_1h_tokens,
            reasoning_tokens=spent.reasoning_tokens,
            tier=spent.tier,
            estimated=spent.estimated,
            gpu_seconds=spent.gpu_seconds,
            cost_nano=self._prices.of(self._claim.provider, self._claim.model, spent).nano,
            latency_ms=_since(started),
        )

    def failed(self, call: Call, error: ProviderError, started: float) -> Closing:
        """A call that its provider did not answer."""
        if isinstance(error, Broken):
            return self.broken(call, error.message, error, started)
        latency = _since(started)
        return Closing(call, "error", event=False, latency_ms=latency, error_type=error.type.value, error=error.message)

    def broken(
        self, call: Call, words: str, error: ProviderError | None, started: float, made: Spent | None = None
    ) -> Closing:
        """Paid: booked as wasted, at what is known of it, else at the estimate. Free: nothing was lost but time."""
        type_ = error.type.value if error else None
        if not self._traits.paid:
            return Closing(call, "error", event=False, latency_ms=_since(started), error_type=type_, error=words)
        known = error.spent if error else made
        spent = known or Spent(call.estimate_tokens, call.estimate_output, estimated=True)
        closing = self.booked(call, "wasted", spent, started)
        cost = closing.cost_nano if known else call.estimate_nano
        return replace(closing, cost_nano=cost, error_type=type_, error=words)


def _longest(provider: Provider, model: str) -> int:
    """The most that an answer without `max_tokens` may have, where the provider knows it."""
    able = able_of(provider, model) or Able()
    known = [most for most in (able.output_tokens, able.context_tokens or provider.traits.context_tokens) if most]
    return min(known, default=OUTPUT_LIMIT)


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
