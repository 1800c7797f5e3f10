"""One request's calls are run: each has its slot and its intent stands before the first byte leaves, and each is closed, whatever comes."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from agents.engine import hedging
from agents.engine.books import Books
from agents.engine.endings import Beaten, Expired, Lost, OverBudget, Stopped, Unfit
from agents.engine.packed import Answer
from agents.engine.seat import Seat
from agents.engine.tariff import Tariff
from providers.base import Moderating, Provider
from providers.calls import AnyCall, ChatCall, EmbedCall, Spent
from providers.errors import NotRun, ProviderError
from store import killpoint
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Call, Closing, Park, Step, Stepped

log = structlog.get_logger(__name__)
_BEATEN = "the same call beside it was answered first"
Commit = Callable[[Step], Awaitable[Stepped]]
Intend = Callable[[], Call]
"""The call anew, as the journal has one that is to be made."""


@dataclass(slots=True)
class Running:
    """The call that is with the provider now. `tokens` is written by the provider, perhaps from another thread."""

    since: float
    tokens: int = 0
    pieces: int = 0
    """Told to whoever reads along; about a token each."""


class Calling:
    """Of one attempt, which makes one call at a time."""

    def __init__(
        self,
        claim: Claimed,
        seat: Seat,
        books: Books,
        tariff: Tariff,
        *,
        provider: Provider,
        commit: Commit,
        heard: Callable[[str, ProviderError | Spent, float], None],
        allowed: Callable[[int], Awaitable[None]],
        hedger: hedging.Hedger | None,
        warn: Callable[[str], None],
    ) -> None:
        self.hedger = hedger
        """For a second call beside one that takes long; None: there is none."""
        self.hedged: Literal["first", "second"] | None = None
        """A second call was made: which one answered."""
        self.answered = 0
        """The number of the call that was answered last."""
        self.heard = heard
        """Told how each call ended, at which node, after how many seconds."""
        self.allowed = allowed
        """Returns when a call of so many tokens may leave."""
        self.claim, self.seat, self.books, self.tariff = claim, seat, books, tariff
        self.provider, self.traits, self.commit, self.warn = provider, provider.traits, commit, warn
        self.fits: frozenset[str] | None = None
        """The nodes that can run this request; None: each can."""
        self.begun = self.flexing = False
        self.running: Running | None = None

    def told(self, tokens: int) -> None:
        """The answer has so many tokens by now."""
        if (running := self.running) is not None:
            running.tokens = tokens

    async def flex(self, call: AnyCall, intend: Intend) -> Answer:
        """On the flex tier; as `run`, and with nothing beside it."""
        self.flexing = True
        try:
            return await self.run(call, intend, alone=True)
        finally:
            self.flexing = False

    async def run(self, call: AnyCall, intend: Intend, *, alone: bool) -> Answer:
        """`alone`: no second call is made beside it."""
        journalled = await self._begun(intend())
        if self.hedger is None or alone:
            return await self._run(call, journalled)
        hedger = self.hedger
        return await hedging.race(
            lambda: self._run(call, journalled),
            hedger.after_s,
            lambda: self._beside(hedger, call, journalled, intend),
        )

    async def _beside(self, hedger: hedging.Hedger, call: AnyCall, first: Call, intend: Intend) -> Answer | None:
        """The same call once more; None: there is no slot for it, or it may not be made."""
        slot = await hedger.take(first.node)
        if slot is None:
            return None
        try:
            if self.fits is not None and slot.node not in self.fits:
                return None
            await self.allowed(first.estimate_tokens + first.estimate_output)
            made = intend()
            await self.open(replace(made, node=slot.node, beside_nano=first.estimate_nano))
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
            self._close(self.tariff.failed(journalled, error, started))
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
            self._close(replace(self.tariff.booked(journalled, "wasted", answer.spent, started), error=_BEATEN))
            raise Beaten
        self.answered = journalled.number
        self._close(self.tariff.booked(journalled, "ok", answer.spent, started), answer)
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
            self.check_deadline()
            return await self.open(call)
        if self.traits.paid and not self.seat.sure:
            return await self.open(replace(call, node=await self._node(call)))
        await self.open(call)
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
        self.check_deadline()
        return slot.node

    def _check_node(self, node: str) -> None:
        if self.fits is not None and node not in self.fits:
            raise Unfit

    def check_deadline(self) -> None:
        """Raises Expired: it has passed, and nothing was called yet."""
        deadline = self.claim.deadline
        if deadline is not None and not self.books.closed and not self.books.past and self.claim.now() >= deadline:
            raise Expired

    async def open(self, call: Call, then: Park | None = None) -> Call:
        """Commit the intent, together with the answer of the call before."""
        if not self.begun:
            self.begun = True
            self.claim.attempts += 1
        try:
            stepped = await self.commit(Step(self.claim, self.books.kept(), opens=call, then=then))
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

    def _made(self, call: Call, started: float) -> Spent | None:
        """What a call had made when we ended it, where its provider tells on the way; for who has gone it makes no more."""
        running = self.running
        tokens = 0 if running is None else max(running.tokens, running.pieces)
        if not tokens:
            return None
        took_s = time.perf_counter() - started
        return Spent(call.estimate_tokens, min(tokens, call.estimate_output), estimated=True, gpu_seconds=took_s)

    def _close_cancelled(self, call: Call, started: float, made: Spent | None) -> None:
        beaten = self.answered == call.number
        if beaten and self.hedger is not None:
            self.hedger.saw(time.perf_counter() - started)
        self._close(self.tariff.broken(call, _BEATEN if beaten else "cancelled", None, started, made))

    def _close(self, closing: Closing, answer: Answer | None = None) -> None:
        if self.flexing and not closing.tier:  # so that a later attempt knows
            closing = replace(closing, tier="flex")
        self.books.close(closing, answer)
