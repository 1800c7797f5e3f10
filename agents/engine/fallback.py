"""Whether a request goes on to its route's next target: functions of the error, of what would be done without a route, and of what
is left of the route.

Never after a bad request or a refusal, which would be the same elsewhere. After a paid call that broke off only where
`on_ambiguous` lets it be made again; what it was booked at is told on the result.
"""

from dataclasses import dataclass

from agents.engine.policy import AskFirst, GiveUp, TryAgain
from providers.calls import Spent
from providers.errors import ContextTooLong, ProviderError, RateLimited
from providers.prices import PriceTable
from schemas.errors import ErrorType
from schemas.money import from_usd, to_usd
from schemas.result import Totals
from schemas.routes import Next, Pinned, Tried
from store.ledger.throttle import PAUSE_S

TRIES_WHEN_LIMITED = 3
"""Pauses that are short enough to be waited for are waited for so often, less one."""


@dataclass(frozen=True, slots=True)
class Onward:
    """To `to`; `left` comes after it. `ambiguous`: a call that may have been paid is made once more."""

    to: Next
    left: tuple[Next, ...]
    ambiguous: bool = False


def onward(
    pinned: Pinned, error: ProviderError, decision: TryAgain | GiveUp | AskFirst, *, tries: int, elsewhere: bool
) -> Onward | None:
    """None: the decision stands. `tries`: at the present target; `elsewhere`: another of its nodes may take it now."""
    if elsewhere or not pinned.left or error.type.value not in pinned.causes:
        return None
    if isinstance(decision, AskFirst) or _is_asked_about(decision):
        return None
    if isinstance(error, RateLimited) and isinstance(decision, TryAgain):
        pause_s = PAUSE_S if error.retry_after_s is None else error.retry_after_s
        if pause_s <= pinned.rate_limited_after_s and tries < TRIES_WHEN_LIMITED:
            return None
    left = _roomier(pinned.left, error) if isinstance(error, ContextTooLong) else pinned.left
    if not left:
        return None
    ambiguous = isinstance(decision, TryAgain) and decision.ambiguous
    return Onward(left[0], tuple(left[1:]), ambiguous)


def _is_asked_about(decision: TryAgain | GiveUp | AskFirst) -> bool:
    """`on_ambiguous` does not let a paid call be made again."""
    return isinstance(decision, GiveUp) and decision.failure.type is ErrorType.AMBIGUOUS


def _roomier(left: list[Next], error: ProviderError) -> list[Next]:
    """Those that hold more than the one that was too small; where that is not known, it may be tried."""
    held = error.details.get("context_tokens")
    needed = error.details.get("prompt_tokens")
    most = needed if isinstance(needed, int) else held + 1 if isinstance(held, int) else 0
    return [each for each in left if each.context_tokens is None or each.context_tokens >= most]


def moved(
    pinned: Pinned, target: str, error: ProviderError, went: Onward, cost_nano: int | None, attempts: int
) -> Pinned:
    """What is kept of the route once the request has gone on."""
    tried = Tried(target=target, error=error.type, cost_nano=cost_nano)
    kept = {"left": list(went.left), "tried": [*pinned.tried, tried], "since": attempts}
    return pinned.model_copy(update=kept | {"patient": went.to.wait_s is not None and bool(went.left)})


def paid_before(pinned: Pinned, target: str) -> list[str]:
    """Sentences for a result whose request was paid elsewhere already: nobody pays twice without being told."""
    return [
        f"paid without an answer: `{each.target}` ({each.error.value}) was booked at "
        f"{'an unknown price' if each.cost_nano is None else f'{to_usd(each.cost_nano)} USD'} before `{target}` was asked"
        for each in pinned.tried
        if each.cost_nano != 0
    ]


def saved(pinned: Pinned, totals: Totals, prices: PriceTable) -> int | None:
    """What the next target would have asked for these tokens, less what they cost; None: nobody waited, or nobody knows."""
    if not pinned.patient or not pinned.left or totals.cost_usd is None:
        return None
    spent = Spent(
        totals.input_tokens,
        totals.output_tokens,
        totals.cached_tokens,
        totals.cache_write_tokens,
        totals.reasoning_tokens,
        estimated=totals.estimated,
    )
    dearer = prices.of(pinned.left[0].provider, pinned.left[0].model, spent).nano
    return None if dearer is None else dearer - (from_usd(totals.cost_usd) or 0)
