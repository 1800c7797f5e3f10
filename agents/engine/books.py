"""What the calls of one request have come to: those that this attempt has closed, and those of earlier ones. It knows no provider."""

from collections.abc import Sequence
from dataclasses import replace

from agents.engine import packed
from agents.engine.packed import Answer
from schemas.money import to_usd
from schemas.result import Totals, Wasted
from store.ledger.order import OUTPUT_WEIGHS
from store.ledger.types.steps import Closing, PastCall


class Books:
    """Of one attempt. Closed calls wait in `pending` until the next commit of this request takes them."""

    def __init__(self, past: Sequence[PastCall]) -> None:
        self.past = past
        self.pending: list[tuple[Closing, Answer | None]] = []
        self.closed: list[Closing] = []

    def close(self, closing: Closing, answer: Answer | None = None) -> None:
        """A call has ended."""
        self.pending.append((closing, answer))
        self.closed.append(closing)

    def last(self, *, wasted: bool = False) -> tuple[Closing, ...]:
        """What is still to be committed, for the request's last step: nobody will take those answers over."""
        pending, self.pending = self.pending, []
        return tuple(replace(c, outcome="wasted") if wasted and c.outcome == "ok" else c for c, _ in pending)

    def kept(self) -> tuple[Closing, ...]:
        """What is still to be committed, with the answers: another attempt will take them over."""
        pending, self.pending = self.pending, []
        return tuple(c if answer is None else replace(c, answer=packed.pack(answer)) for c, answer in pending)

    def taken_over(self, number: int, digest: bytes) -> Answer | None:
        """The answer that an earlier attempt has paid for; None: there is none."""
        for past in self.past:
            if past.number == number and past.input_hash == digest and past.answer is not None:
                return packed.unpack(past.answer)
        return None

    def totals(self) -> Totals:
        """What all calls of this generation used, those of earlier attempts included."""
        booked: list[Closing | PastCall] = [c for c in self.past if c.event]
        booked += [c for c in self.closed if c.event]
        costs = [c.cost_nano for c in booked if c.cost_nano is not None]
        unpriced = sum(1 for c in booked if c.cost_nano is None)
        return Totals(
            input_tokens=sum(c.input_tokens for c in booked),
            output_tokens=sum(c.output_tokens for c in booked),
            cached_tokens=sum(c.cached_tokens for c in booked),
            cache_write_tokens=sum(c.cache_write_tokens for c in booked),
            reasoning_tokens=sum(c.reasoning_tokens for c in booked),
            estimated=any(c.estimated for c in booked),
            cost_usd=to_usd(None if booked and not costs else sum(costs)),
            unpriced_calls=unpriced,
            calls=len(booked),
        )

    def wasted(self) -> Wasted | None:
        """What of the totals is no part of an answer; None: nothing."""
        ended: list[Closing | PastCall] = [*self.past, *self.closed]
        lost = [c for c in ended if c.event and c.outcome == "wasted"]
        if not lost:
            return None
        return Wasted(
            input_tokens=sum(c.input_tokens for c in lost),
            output_tokens=sum(c.output_tokens for c in lost),
            cached_tokens=sum(c.cached_tokens for c in lost),
            cache_write_tokens=sum(c.cache_write_tokens for c in lost),
            reasoning_tokens=sum(c.reasoning_tokens for c in lost),
            calls=len(lost),
        )

    def paid_in_vain(self, target: str) -> str | None:
        """A sentence about calls of earlier attempts that the present model was asked for, was paid for, and lost; None: none."""
        lost = [c.cost_nano for c in self.past if c.event and c.here and c.outcome == "wasted" and c.cost_nano != 0]
        if not lost:
            return None
        known = [cost for cost in lost if cost is not None]
        price = f"{to_usd(sum(known))} USD" if len(known) == len(lost) else "an unknown price"
        calls = "a call that was" if len(lost) == 1 else f"{len(lost)} calls that were"
        return f"paid without an answer: `{target}` was asked again after {calls} booked at {price} and lost"

    def booked_here(self) -> int | None:
        """Nano-dollars at which the calls of the present model were booked; None: one of them has no known price."""
        booked: list[Closing | PastCall] = [c for c in self.past if c.event and c.here]
        costs = [c.cost_nano for c in (*booked, *(c for c in self.closed if c.event))]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def progressed(self) -> bool:
        """Whether this attempt got an answer that no earlier one had. Of a request of sixty calls one may break off now and
        then: its tries are spent only by those that bring nothing new.
        """
        return any(closing.outcome == "ok" for closing in self.closed)

    def used(self) -> int:
        """What the calls of this attempt count against their tenant, in tokens."""
        return sum(closing.input_tokens + OUTPUT_WEIGHS * closing.output_tokens for closing in self.closed)

    def latency_ms(self) -> int:
        """Time spent in calls."""
        return sum(closing.latency_ms for closing in self.closed)
