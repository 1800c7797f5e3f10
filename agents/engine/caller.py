"""One request's way to its model, as its operation has it: every call numbered, worded, and answered from the ledger or by its provider."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from agents import wording
from agents.base import NO_MORE, More
from agents.engine import hedging, packed, tiering, tiers
from agents.engine.books import Books
from agents.engine.calling import Calling, Commit
from agents.engine.endings import Lost, Parked, Unfit
from agents.engine.packed import Answer
from agents.engine.room import longest
from agents.engine.seat import Seat
from agents.engine.tariff import Tariff
from prompts import Library, Rendered
from providers.base import Moderating, Provider, able_of
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
from providers.errors import NotRun, ProviderError
from providers.prices import PriceTable
from schemas.pin import pins
from schemas.request import Options
from schemas.routes import guards
from schemas.tiers import Tiered
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Call, PastCall

SHORT = 64
"""Tokens: so short an answer is there before anybody is told how far it is, and is asked for whole, which costs a server and us less."""

_NOTHING = Delta()
Reads = Callable[[tuple[int, int], Delta], None]
"""Told the pieces of answers: (attempt, number of the call), the piece. At once, in the loop's thread or another one."""


class LedgerCaller:
    """The `Caller` that operations get. What it asks is run by `calling`, what that came to is in `books`."""

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
        self.landed = landed
        """The call of this request that came back in a batch, until it is met again."""
        self.reads = reads
        """Who reads along while the answer is made."""
        self.begun_to_tell = False
        """They were told a piece: an answer that begins anew is another one to them."""
        self.claim, self.seat, self.options = claim, seat, options
        self.provider, self.prices, self.library = provider, prices, library
        self.timeout_s = timeout_s
        self.traits, self.pinned, self.guards = provider.traits, claim.pinned, guards(claim.route)
        rules = rules or tiers.Rules()
        wish = options.tier or tiering.of_route(claim.route) or rules.wish
        self.tier = tiering.Tiering(claim, provider, prices, past, wish=wish, rules=rules, read_along=reads is not None)
        self.held: object = None
        """What keeps the pinned wordings in memory."""
        self.number = 0
        self.warnings: list[str] = []
        self.books, self.tariff = Books(past), Tariff(claim, provider, prices)
        self.calling = Calling(
            claim,
            seat,
            self.books,
            self.tariff,
            provider=provider,
            commit=commit,
            heard=heard,
            allowed=allowed,
            hedger=hedger,
            warn=self.warn,
        )

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
        most = longest(options.max_tokens, max_tokens, able_of(self.provider, self.claim.model))
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
            on_tokens=None if most is not None and most <= SHORT else self.calling.told,
            on_delta=self._reader(),
        )
        answer = await self._once(call, prompt)
        assert isinstance(answer, ChatAnswer)
        return answer

    def _reader(self) -> Callable[[Delta], None] | None:
        """Whoever reads along is told which attempt and which call a piece belongs to: after a retry the text begins anew."""
        if (reads := self.reads) is None:
            return None
        place = (self.claim.attempts + (not self.calling.begun), self.number + 1)

        def told(delta: Delta) -> None:
            if (running := self.calling.running) is not None:
                running.pieces += 1
            self.begun_to_tell = self.begun_to_tell or delta != _NOTHING
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
        able = able_of(self.provider, self.claim.model)
        if able is None or not able.moderates or not isinstance(self.provider, Moderating):
            return None
        answer = await self._once(ModerateCall(self.claim.model, tuple(texts), self.timeout_s, tag=self.claim.id), None)
        assert isinstance(answer, ModerateAnswer)
        return answer

    async def _once(self, call: AnyCall, prompt: Rendered | None) -> Answer:
        self.number += 1
        digest = packed.digest(call)
        taken = self.books.taken_over(self.number, digest)
        if taken is not None:
            return taken
        if self.landed is not None and self.landed.call.number == self.number:
            if self.landed.call.input_hash == digest:
                return self._landed(call, self.landed)
            self._unwanted(self.landed)  # it is worded anew: another version of us runs here
        self.calling.check_deadline()
        choice = self._choose(call)
        if choice.tier == "batch":
            await self._park(call, digest, prompt)
        if self.seat.nowhere:
            raise Unfit
        if choice.tier == "flex":
            try:
                flexed = self.tier.flexed(call)
                return await self.calling.flex(flexed, partial(self._intent, flexed, digest, prompt))
            except NotRun as error:
                if isinstance(error, tiering.WOULD_BE_SO_AGAIN):
                    raise
                self.tier.refused(error)
        return await self.calling.run(call, partial(self._intent, call, digest, prompt), alone=self.reads is not None)

    def _intent(self, call: AnyCall, digest: bytes, prompt: Rendered | None, tier: str = "") -> Call:
        return self.tariff.intent(call, digest, prompt, number=self.number, node=self.seat.node, tier=tier)

    def _choose(self, call: AnyCall) -> tiers.Choice:
        if self.tier.wish == "standard" or isinstance(call, ModerateCall):
            return tiers.STANDARD
        return self.tier.choose(call, self.number, self.tariff.most(call))

    def _unwanted(self, landed: tiering.Landed) -> None:
        self.landed = None
        self.books.close(tiering.unwanted(landed, self.provider, self.prices, self.claim))

    async def _park(self, call: AnyCall, digest: bytes, prompt: Rendered | None) -> None:
        """Into a provider's batch: its answer comes when this is long forgotten, and the request is run again with it."""
        if self.seat.sure and not self.calling.begun:  # not accepted yet: it is run like any other once it is
            raise Lost
        then = self.tier.parcel(call)
        made = replace(self._intent(call, digest, prompt, tier="batch"), kind="batch", node=then.node)
        await self.calling.open(made, then)
        raise Parked

    def _landed(self, call: AnyCall, landed: tiering.Landed) -> Answer:
        """The answer that came back in a batch."""
        self.landed = None
        self.tier.came_back(landed.opened_at)
        try:
            answer = landed.read(self.provider, call)
        except ProviderError as error:
            self.books.close(self.tariff.failed(landed.call, error, landed.started))
            raise
        self.books.close(self.tariff.booked(landed.call, "ok", answer.spent, landed.started), answer)
        return answer

    def tiered(self) -> tuple[Tiered | None, int | None]:
        """Which tier answered, and what that saved; None: nothing but the usual was wished."""
        return self.tier.told([*self.books.past, *self.books.closed])
