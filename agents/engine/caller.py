"""One request's way to its model: every call numbered, its intent committed before the first byte leaves, its cost booked."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog
import uuid_utils

from agents import wording
from agents.base import NO_MORE, More
from agents.engine import hedging, packed, tiering, tiers
from agents.engine.packed import Answer
from agents.engine.room import longest
from agents.engine.seat import Seat
from prompts import Library, Rendered
from providers.base import Able, Capable, Moderating, Provider
from providers.calls import (
    AnyCall,
    ChatAnswer,
    ChatCall,
    Delta,
    EmbedAnswer,
    EmbedCall,
    Message,
    ModerateAnswer,
    ModerateCall,
    Spent,
)
from providers.errors import Broken, NotRun, ProviderError
from providers.prices import OUTPUT_LIMIT, PriceTable, upper_estimate
from schemas.errors import Failure
from schemas.money import to_usd
from schemas.pin import pins
from schemas.request import Options
from schemas.result import Totals
from schemas.routes import guards
from schemas.tiers import Tiered
from store import killpoint
from store.ledger.order import OUTPUT_WEIGHS
from store.ledger.types import Call, Claimed, Closing, Park, PastCall, Step, Stepped

log = structlog.get_logger(__name__)
_BEATEN = "the same call beside it was answered first"
Commit = Callable[[Step], Awaitable[Stepped]]


SHORT = 64
"""Tokens: so short an answer is there before anybody is told how far it is, and is asked for whole, which costs a server and us less."""

Reads = Callable[[tuple[int, int], Delta], None]
"""Told the pieces of answers: (attempt, number of the call), the piece. At once, in the loop's thread or another one."""


class Lost(Exception):
    """The row is not ours any more: another worker has taken it over, or it was ended."""


class Unfit(Exception):
    """The slot is at a node that cannot run this request; another one may."""


class Parked(Exception):
    """The call lies in a provider's batch: its answer is another run's."""


class Beaten(Exception):
    """The same call beside this one was answered a moment before."""


class Stopped(Exception):
    """Somebody asked to cancel this request before this call began."""


class Expired(Exception):
    """The deadline passed before the request cost anything."""


class OverBudget(Exception):
    """No budget has room for the next call; it was not made."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class Running:
    """The call that is with the provider now. `tokens` is written by the provider, perhaps from another thread."""

    since: float
    tokens: int = 0
    pieces: int = 0
    """Told to whoever reads along; about a token each."""


class LedgerCaller:
    """The `Caller` that operations get. Closed calls wait in `pending` until the next commit of this request takes them."""

    def __init__(
        self,
        claim: Claimed,
        seat: Seat,
        options: Options,
        *,
        provider: Provider,
        prices: PriceTable,
        library: Library,
        past: Sequence[PastCall],
        commit: Commit,
        timeout_s: float,
        heard: Callable[[str, ProviderError | Spent, float], None],
        allowed: Callable[[int], Awaitable[None]],
        reads: Reads | None = None,
        rules: tiers.Rules | None = None,
        landed: tiering.Landed | None = None,
        hedger: hedging.Hedger | None = None,
    ) -> None:
        self.hedger = hedger
        """For a second call beside one that takes long; None: there is none."""
        self.hedged: Literal["first", "second"] | None = None
        """A second call was made: which one answered."""
        self.answered = 0
        """The number of the call that was answered last."""
        self.landed = landed
        """The call of this request that came back in a batch, until it is met again."""
        self.reads = reads
        """Who reads along while the answer is made."""
        self.heard = heard
        """Told how each call ended, at which node, after how many seconds."""
        self.allowed = allowed
        """Returns when a call of so many tokens may leave."""
        self.claim, self.seat, self.options = claim, seat, options
        self.provider, self.prices, self.library, self.commit = provider, prices, library, commit
        self.timeout_s = timeout_s
        self.traits, self.pinned, self.guards = provider.traits, claim.pinned, guards(claim.route)
        self.past = past
        rules = rules or tiers.Rules()
        self.tier = tiering.Tiering(
            claim,
            provider,
            prices,
            past,
            wish=options.tier or tiering.of_route(claim.route) or rules.wish,
            rules=rules,
            read_along=reads is not None,
        )
        self.held: object = None
        """What keeps the pinned wordings in memory."""
        self.fits: frozenset[str] | None = None
        """The nodes that can run this request; None: each can."""
        self.number = 0
        self.begun = self.flexing = False
        self.pending: list[tuple[Closing, Answer | None]] = []
        self.closed: list[Closing] = []
        self.warnings: list[str] = []
        self.running: Running | None = None

    def render(self, slug: str, **variables: Any) -> Rendered:
        """A library prompt with its variables filled in; in the words that were pinned, where an operator has his own."""
        if self.pinned is None:
            return self.library.render(slug, **variables)
        pin = next((each for each in pins(self.pinned) if each.name == slug), None)
        return (
            self.library.render(slug, **variables)
            if pin is None
            else wording.pinned(self.library, pin).render(variables)
        )

    def warn(self, text: str) -> None:
        """A sentence for the result's `warnings`; each once."""
        if text not in self.warnings:
            self.warnings.append(text)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        prompt: Rendered | None = None,
        schema: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        more: More = NO_MORE,
    ) -> ChatAnswer:
        """One completion; see `agents.base.Caller`."""
        options = Options() if more.ours else self.options
        most = longest(options.max_tokens, max_tokens, self._able())
        if options.max_tokens and most != options.max_tokens:
            self.warn(
                f"`{self.claim.model}` writes at most {most} tokens, so that `max_tokens` {options.max_tokens} means {most}"
            )
        call = ChatCall(
            model=self.claim.model,
            messages=tuple(messages),
            timeout_s=self.timeout_s,
            schema=schema,
            temperature=more.temperature if options.temperature is None else options.temperature,
            max_tokens=most,
            stop=more.stop,
            seed=more.seed,
            json_mode=more.json_mode,
            tools=more.tools,
            tool_choice=more.tool_choice,
            parallel_tool_calls=more.parallel_tool_calls,
            logprobs=more.logprobs,
            params=more.params,
            tag=self.claim.id,
            on_tokens=None if most is not None and most <= SHORT else self._told,
            on_delta=self._reader(),
        )
        answer = await self._once(call, prompt)
        assert isinstance(answer, ChatAnswer)
        return answer

    def _able(self) -> Able | None:
        return self.provider.able(self.claim.model) if isinstance(self.provider, Capable) else None

    def _told(self, tokens: int) -> None:
        if (running := self.running) is not None:
            running.tokens = tokens

    def _reader(self) -> Callable[[Delta], None] | None:
        """Whoever reads along is told which attempt and which call a piece belongs to: after a retry the text begins anew."""
        if (reads := self.reads) is None:
            return None
        place = (self.claim.attempts + (not self.begun), self.number + 1)

        def told(delta: Delta) -> None:
            if (running := self.running) is not None:
                running.pieces += 1
            reads(place, delta)

        return told

    async def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> EmbedAnswer:
        """Embeddings, in the order of the texts."""
        call = EmbedCall(self.claim.model, tuple(texts), self.timeout_s, dimensions, tag=self.claim.id)
        answer = await self._once(call, None)
        assert isinstance(answer, EmbedAnswer)
        return answer

    async def moderate(self, texts: Sequence[str]) -> ModerateAnswer | None:
        """What the model finds in each text; None: it is not made for that."""
        able = self._able()
        if able is None or not able.moderates or not isinstance(self.provider, Moderating):
            return None
        answer = await self._once(ModerateCall(self.claim.model, tuple(texts), self.timeout_s, tag=self.claim.id), None)
        assert isinstance(answer, ModerateAnswer)
        return answer

    async def _once(self, call: AnyCall, prompt: Rendered | None) -> Answer:
        self.number += 1
        digest = packed.digest(call)
        taken = self._taken_over(digest)
        if taken is not None:
            return taken
        if self.landed is not None and self.landed.call.number == self.number:
            if self.landed.call.input_hash == digest:
                return self._landed(call, self.landed)
            self._unwanted(self.landed)  # it is worded anew: another version of us runs here
        self._check_deadline()
        choice = self._choose(call)
        if choice.tier == "batch":
            await self._park(call, digest, prompt)
        if self.seat.nowhere:
            raise Unfit
        if choice.tier == "flex":
            try:
                self.flexing = True
                return await self._call(self.tier.flexed(call), digest, prompt)
            except NotRun as error:
                if isinstance(error, tiering.WOULD_BE_SO_AGAIN):
                    raise
                self.tier.refused(error)
            finally:
                self.flexing = False
        return await self._call(call, digest, prompt)

    def _choose(self, call: AnyCall) -> tiers.Choice:
        if self.tier.wish == "standard" or isinstance(call, ModerateCall):
            return tiers.STANDARD
        return self.tier.choose(call, self.number, upper_estimate(call, _longest(self.provider, self.claim.model)))

    def _unwanted(self, landed: tiering.Landed) -> None:
        self.landed = None
        self._close(tiering.unwanted(landed, self.provider, self.prices, self.claim))

    async def _park(self, call: AnyCall, digest: bytes, prompt: Rendered | None) -> None:
        """Into a provider's batch: its answer comes when this is long forgotten, and the request is run again with it."""
        if self.seat.sure and not self.begun:  # not accepted yet: it is run like any other once it is
            raise Lost
        then = self.tier.parcel(call)
        made = replace(self._journalled(call, digest, prompt, tier="batch"), kind="batch", node=then.node)
        await self._open(made, then)
        raise Parked

    def _landed(self, call: AnyCall, landed: tiering.Landed) -> Answer:
        """The answer that came back in a batch."""
        self.landed = None
        self.tier.came_back(landed.opened_at)
        try:
            answer = landed.read(self.provider, call)
        except ProviderError as error:
            self._close_failed(landed.call, error, landed.started)
            raise
        self._close(self._booked(landed.call, "ok", answer.spent, landed.started), answer)
        return answer

    async def _call(self, call: AnyCall, digest: bytes, prompt: Rendered | None) -> Answer:
        journalled = await self._begun(self._journalled(call, digest, prompt))
        if self.hedger is None or self.flexing or self.reads is not None:
            return await self._run(call, journalled)
        hedger = self.hedger
        return await hedging.race(
            lambda: self._run(call, journalled),
            hedger.after_s,
            lambda: self._beside(hedger, call, journalled, prompt),
        )

    async def _beside(
        self, hedger: hedging.Hedger, call: AnyCall, first: Call, prompt: Rendered | None
    ) -> Answer | None:
        """The same call once more; None: there is no slot for it, or it may not be made."""
        slot = await hedger.take(first.node)
        if slot is None:
            return None
        try:
            if self.fits is not None and slot.node not in self.fits:
                return None
            await self.allowed(first.estimate_tokens + first.estimate_output)
            made = self._journalled(call, first.input_hash, prompt)
            await self._open(replace(made, node=slot.node, beside_nano=first.estimate_nano))
            self.hedged = "first"
            if self.traits.paid:
                self.warn("a second paid call was made beside one that took long, as its route allows; both are booked")
            unread = replace(call, on_tokens=None) if isinstance(call, ChatCall) else call
            answer = await self._run(unread, replace(made, node=slot.node), watched=False)
        except (Lost, Stopped, OverBudget) as error:  # the first call goes on, and meets it too
            log.debug("no second call is made", why=type(error).__name__)
            return None
        else:
            self.hedged = "second"
            return answer
        finally:
            hedger.free(slot)

    async def _run(self, call: AnyCall, journalled: Call, *, watched: bool = True) -> Answer:
        """`watched`: how far it is is told on the way."""
        started = time.perf_counter()
        if watched:
            self.running = Running(time.time())
            killpoint.passing("intended")
            killpoint.soon("called")
        try:
            answer = await self._asked(call, journalled.node)
            killpoint.passing("answered")
        except ProviderError as error:
            self._close_failed(journalled, error, started)
            if not (self.flexing and isinstance(error, NotRun)):  # a full tier says nothing of the others
                self.heard(journalled.node, error, time.perf_counter() - started)
            raise
        except BaseException:  # cancelled: the connection is closed, and nobody knows how far the call had come
            self._close_cancelled(journalled, started, self._made(journalled, started) if watched else None)
            raise
        finally:
            if watched:
                self.running = None
        if self.answered == journalled.number:
            self._close(replace(self._booked(journalled, "wasted", answer.spent, started), error=_BEATEN))
            raise Beaten
        self.answered = journalled.number
        self._close(self._booked(journalled, "ok", answer.spent, started), answer)
        self.heard(journalled.node, answer.spent, time.perf_counter() - started)
        return answer

    async def _asked(self, call: AnyCall, node: str) -> Answer:
        if isinstance(call, ChatCall):
            return await self.provider.chat(call, node)
        if isinstance(call, EmbedCall):
            return await self.provider.embed(call, node)
        assert isinstance(self.provider, Moderating)
        return await self.provider.moderate(call, node)

    async def _begun(self, call: Call) -> Call:
        """The slot is here and the intent stands. For a free model the intent comes first: nothing but a kill can come
        between, and it costs nothing. For a paid one it comes last: it says that the call was made.
        """
        if call.node:
            self._check_node(call.node)
            await self.allowed(call.estimate_tokens + call.estimate_output)
            self._check_deadline()
            return await self._open(call)
        if self.traits.paid and not self.seat.sure:
            return await self._open(replace(call, node=await self._node(call)))
        await self._open(call)
        try:
            return replace(call, node=await self._node(call))
        except BaseException:
            self.claim.attempts -= 1
            self._close(Closing(call, "error", event=False, error="it had no slot yet"))
            raise

    async def _node(self, call: Call) -> str:
        """Where the slot is, once it is here and the call may leave, and if it is not too late then."""
        slot = await self.seat.taken()
        self._check_node(slot.node)
        await self.allowed(call.estimate_tokens + call.estimate_output)
        self._check_deadline()
        return slot.node

    def _check_node(self, node: str) -> None:
        if self.fits is not None and node not in self.fits:
            raise Unfit

    def _taken_over(self, digest: bytes) -> Answer | None:
        for past in self.past:
            if past.number == self.number and past.input_hash == digest and past.answer is not None:
                return packed.unpack(past.answer)
        return None

    def _check_deadline(self) -> None:
        deadline = self.claim.deadline
        if deadline is not None and not self.closed and not self.past and self.claim.now() >= deadline:
            raise Expired

    def _journalled(self, call: AnyCall, digest: bytes, prompt: Rendered | None, tier: str = "") -> Call:
        estimate = upper_estimate(call, _longest(self.provider, self.claim.model))
        if tier:
            estimate = replace(estimate, tier=tier)
        priced = self.prices.of(self.claim.provider, self.claim.model, estimate)
        if priced.nano is None and estimate.tier in tiering.CHEAPER:  # at most what it would cost otherwise
            priced = self.prices.of(self.claim.provider, self.claim.model, replace(estimate, tier=""))
        return Call(
            id=str(uuid_utils.uuid7()),
            number=self.number,
            kind=packed.kind(call),
            node=self.seat.node,
            input_hash=digest,
            estimate_tokens=estimate.input_tokens,
            estimate_output=estimate.output_tokens,
            estimate_nano=priced.nano,
            price_source=priced.price.source if priced.price else None,
            price_version=priced.price.version if priced.price else None,
            prompt=prompt.slug if prompt else None,
            prompt_version=prompt.version if prompt else None,
        )

    async def _open(self, call: Call, then: Park | None = None) -> Call:
        """Commit the intent, together with the answer of the call before."""
        if not self.begun:
            self.begun = True
            self.claim.attempts += 1
        try:
            stepped = await self.commit(Step(self.claim, self.kept(), opens=call, then=then))
        except BaseException:  # if the intent stands all the same, it says that no call followed
            self._close(Closing(call, "error", event=False, error="stopped before it was made"))
            raise
        if not stepped.held:
            raise Lost
        if stepped.cancel:
            raise Stopped
        if stepped.held_nano is not None:
            self.claim.budgets, self.claim.budget_nano = stepped.held_nano
        if stepped.refused is not None:
            raise OverBudget(stepped.refused)
        return call

    def _close_failed(self, call: Call, error: ProviderError, started: float) -> None:
        if isinstance(error, Broken):
            self._close_broken(call, error.message, error, started)
            return
        latency = _since(started)
        self._close(
            Closing(call, "error", event=False, latency_ms=latency, error_type=error.type.value, error=error.message)
        )

    def _made(self, call: Call, started: float) -> Spent | None:
        """What a call had made when we ended it, where its provider tells on the way; for who has gone it makes no more."""
        running = self.running
        tokens = 0 if running is None else max(running.tokens, running.pieces)
        if not tokens:
            return None
        took_s = time.perf_counter() - started
        return Spent(call.estimate_tokens, min(tokens, call.estimate_output), estimated=True, gpu_seconds=took_s)

    def _close_broken(
        self, call: Call, words: str, error: ProviderError | None, started: float, made: Spent | None = None
    ) -> None:
        """Paid: booked as wasted, at what is known of it, else at the estimate. Free: nothing was lost but time."""
        type_ = error.type.value if error else None
        if not self.traits.paid:
            self._close(Closing(call, "error", event=False, latency_ms=_since(started), error_type=type_, error=words))
            return
        known = error.spent if error else made
        spent = known or Spent(call.estimate_tokens, call.estimate_output, estimated=True)
        closing = self._booked(call, "wasted", spent, started)
        cost = closing.cost_nano if known else call.estimate_nano
        self._close(replace(closing, cost_nano=cost, error_type=type_, error=words))

    def _close_cancelled(self, call: Call, started: float, made: Spent | None) -> None:
        beaten = self.answered == call.number
        if beaten and self.hedger is not None:
            self.hedger.saw(time.perf_counter() - started)
        self._close_broken(call, _BEATEN if beaten else "cancelled", None, started, made)

    def _booked(self, call: Call, outcome: Any, spent: Spent, started: float) -> Closing:
        return Closing(
            call,
            outcome,
            event=True,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            cached_tokens=spent.cached_tokens,
            cache_write_tokens=spent.cache_write_tokens,
            reasoning_tokens=spent.reasoning_tokens,
            tier=spent.tier,
            estimated=spent.estimated,
            gpu_seconds=spent.gpu_seconds,
            cost_nano=self.prices.of(self.claim.provider, self.claim.model, spent).nano,
            latency_ms=_since(started),
        )

    def _close(self, closing: Closing, answer: Answer | None = None) -> None:
        if self.flexing and not closing.tier:  # so that a later attempt knows
            closing = replace(closing, tier="flex")
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

    def tiered(self) -> tuple[Tiered | None, int | None]:
        """Which tier answered, and what that saved; None: nothing but the usual was wished."""
        return self.tier.told([*self.past, *self.closed])

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
            estimated=any(c.estimated for c in booked),
            cost_usd=to_usd(None if booked and not costs else sum(costs)),
            unpriced_calls=unpriced,
            calls=len(booked),
        )

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


def _longest(provider: Provider, model: str) -> int:
    """The most that an answer without `max_tokens` may have, where the provider knows it."""
    able = provider.able(model) if isinstance(provider, Capable) else Able()
    known = [most for most in (able.output_tokens, able.context_tokens or provider.traits.context_tokens) if most]
    return min(known, default=OUTPUT_LIMIT)


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
