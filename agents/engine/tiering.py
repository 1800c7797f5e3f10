"""One request's tiers: what `tiers.choose` is told of its calls, what goes into a provider's batch and what comes back of it."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agents.engine import tiers
from agents.engine.metrics import Metrics
from agents.engine.tiers import HOUR_S, Choice, Facts, Prices, Rules
from providers.base import Provider
from providers.batches import Batches, Batching, Flexible
from providers.calls import AnyCall, ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, ModerateCall, Spent
from providers.errors import Broken, ContextTooLong, ModelNotFound, ProviderError, Refused, Unreachable
from providers.prices import PriceTable
from schemas.money import to_usd
from schemas.routes import Pinned
from schemas.tiers import Tier, Tiered
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Call, Closing, End, Park, PastCall, Step

CHEAPER = frozenset({"flex", "batch"})
WOULD_BE_SO_AGAIN = (Unreachable, Refused, ModelNotFound, ContextTooLong)
"""Refusals of a flex call that its tier has nothing to do with."""
_FORGOTTEN = "its provider does not know the batch any more in which this call was handed over"


@dataclass(frozen=True, slots=True)
class Landed:
    """A call that came back in a batch. `body`: as `Batches.read` takes it; None: the batch is lost, and the call may be paid."""

    call: Call
    body: bytes | None
    opened_at: float
    started: float
    """When it was opened, by `time.perf_counter`."""

    def read(self, provider: Provider, call: AnyCall) -> ChatAnswer | EmbedAnswer:
        """Raises ProviderError."""
        there = batches_of(provider)
        if self.body is None or there is None:
            raise Broken(_FORGOTTEN)
        assert not isinstance(call, ModerateCall)
        return there.read(self.body, call, self.call.node)


def landed(call: Call, body: bytes | None, opened_at: float, now: float) -> Landed:
    """`now`: of the ledger's clock, as `opened_at` is."""
    return Landed(call, body, opened_at, time.perf_counter() - max(0.0, now - opened_at))


def batches_of(provider: Provider) -> Batches | None:
    return provider.batches() if isinstance(provider, Batching) else None


def of_route(route: str | None) -> Tier | None:
    """How the route by which a request came wants it asked."""
    return Pinned.model_validate_json(route).tier if route is not None and '"tier"' in route else None


def unwanted(landed: Landed, provider: Provider, prices: PriceTable, claim: Claimed) -> Closing:
    """Of a call whose answer nobody takes any more: paid at what it used, or at the estimate where its batch is lost."""
    call, latency_ms = landed.call, round((time.perf_counter() - landed.started) * 1000)
    there = batches_of(provider)
    if landed.body is None or there is None:
        spent = Spent(call.estimate_tokens, call.estimate_output, tier="batch", estimated=True)
        return _wasted(landed, spent, call.estimate_nano, _FORGOTTEN, latency_ms)
    used = there.spent(landed.body)
    if used is None:
        return Closing(call, "error", event=False, latency_ms=latency_ms, error="refused, and nobody waited for it")
    nano = prices.of(claim.provider, claim.model, used).nano
    return _wasted(landed, used, nano, "nobody waited for this answer when its batch came back", latency_ms)


def _wasted(landed: Landed, spent: Spent, nano: int | None, words: str, latency_ms: int) -> Closing:
    return Closing(
        landed.call,
        "wasted",
        event=True,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cached_tokens=spent.cached_tokens,
        cache_write_tokens=spent.cache_write_tokens,
        cache_write_1h_tokens=spent.cache_write_1h_tokens,
        reasoning_tokens=spent.reasoning_tokens,
        tier=spent.tier,
        estimated=spent.estimated,
        cost_nano=nano,
        latency_ms=latency_ms,
        error=words,
    )


def bucket(left_s: float | None) -> int:
    """Calls whose deadlines are about as far away share a batch, since a batch is stopped as a whole."""
    return 0 if left_s is None else 1 + int(math.log2(max(1.0, left_s / HOUR_S)))


def count(metrics: Metrics, step: Step) -> None:
    """A request has ended that wished for something cheaper."""
    claim, then = step.claim, step.then
    if isinstance(then, End) and then.tier is not None:
        labels = (*metrics.names.of((claim.provider, claim.model)), then.tier.name)
        metrics.tiers.labels(*labels).inc()
        metrics.tier_saved.labels(*labels).inc(max(0, then.tier_saved_nano or 0) / 1e9)


class Tiering:
    """Of one attempt. `last`: what was chosen for its last call; None: nothing was wished."""

    __slots__ = ("_along", "_claim", "_past", "_prices", "_provider", "_rules", "last", "wish")

    def __init__(
        self,
        claim: Claimed,
        provider: Provider,
        prices: PriceTable,
        past: Sequence[PastCall],
        *,
        wish: Tier,
        rules: Rules,
        read_along: bool,
    ) -> None:
        self._claim, self._provider, self._prices, self._past = claim, provider, prices, past
        self._rules, self._along = rules, read_along
        self.wish = wish
        self.last: Choice | None = None

    def choose(self, call: ChatCall | EmbedCall, number: int, estimate: Spent) -> Choice:
        """For the call of this number, now. `estimate`: what it uses at most."""
        if self.wish == "standard":
            return tiers.STANDARD
        self.last = tiers.choose(self._facts(call, number, estimate), self._rules)
        return self.last

    def _facts(self, call: ChatCall | EmbedCall, number: int, estimate: Spent) -> Facts:
        chat = isinstance(call, ChatCall)
        there = batches_of(self._provider)
        flexible = self._provider if isinstance(self._provider, Flexible) else None
        past = [each for each in self._past if each.number == number and each.here]
        return Facts(
            wish=self.wish,
            lane=self._claim.lane,
            left_s=self._left_s(self._claim.now()),
            model=f"{self._claim.provider}/{self._claim.model}",
            has_batch=there is not None and there.takes("chat" if chat else "embed"),
            has_flex=chat and flexible is not None and flexible.has_flex(call.model),
            read_along=self._along,
            own=isinstance(call, ChatCall) and call.params.get("service_tier") is not None,
            batches=sum(1 for each in past if each.kind == "batch" and each.outcome != "ok"),
            flexed=any(each.tier == "flex" and each.outcome != "ok" for each in past),
            prices=self._dear(estimate) if self.wish == "auto" else Prices(),
        )

    def _left_s(self, at: float) -> float | None:
        return None if self._claim.deadline is None else self._claim.deadline - at

    def _dear(self, estimate: Spent) -> Prices:
        name = self._claim.provider, self._claim.model
        nano = {tier: self._prices.of(*name, replace(estimate, tier=tier)).nano for tier in ("", "flex", "batch")}
        return Prices(nano[""], nano["flex"], nano["batch"])

    def flexed(self, call: AnyCall) -> ChatCall:
        """The same on the flex tier, which takes its time."""
        assert isinstance(call, ChatCall)
        timeout_s = tiers.flex_timeout_s(call.timeout_s, self._left_s(self._claim.now()), self._rules)
        return replace(call, params={**call.params, "service_tier": "flex"}, timeout_s=timeout_s)

    def refused(self, error: ProviderError) -> None:
        """The flex tier has no room now: the call is made on the standard one."""
        self.last = Choice("standard", f"the flex tier refused it ({error.type.value})")

    def came_back(self, opened_at: float) -> None:
        """A call has come back in a batch, for which it was opened then."""
        self.last = Choice("batch", tiers.why(self.wish, self._left_s(opened_at)))

    def parcel(self, call: AnyCall) -> Park:
        """As it goes into a batch. Raises ProviderError, as the call would before it is sent."""
        there = batches_of(self._provider)
        assert there is not None
        assert not isinstance(call, ModerateCall)
        left_s = self._left_s(self._claim.now())
        return Park(
            "chat" if isinstance(call, ChatCall) else "embed",
            self._provider.nodes()[0],
            there.item(call),
            None if self._claim.deadline is None else self._claim.deadline - self._rules.reserve_s,
            bucket(left_s),
        )

    def told(self, booked: Iterable[Closing | PastCall]) -> tuple[Tiered | None, int | None]:
        """For the result: which tier answered and why, and what was saved, in nano-dollars."""
        if self.last is None:
            return None, None
        saved = [self._saved(each) for each in booked if each.outcome == "ok" and each.tier in CHEAPER]
        known = [nano for nano in saved if nano is not None]
        nano = sum(known) if known else None
        return Tiered(name=self.last.tier, why=self.last.why, saved_usd=None if nano is None else to_usd(nano)), nano

    def _saved(self, each: Closing | PastCall) -> int | None:
        """What the standard tier would have asked for the same tokens, less what it cost."""
        spent = Spent(
            each.input_tokens,
            each.output_tokens,
            each.cached_tokens,
            each.cache_write_tokens,
            each.reasoning_tokens,
            estimated=each.estimated,
            cache_write_1h_tokens=each.cache_write_1h_tokens,
        )
        usual = self._prices.of(self._claim.provider, self._claim.model, spent).nano
        return None if usual is None or each.cost_nano is None else usual - each.cost_nano
