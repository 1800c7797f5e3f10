"""One leased row, run to its next step: an answer, another try, or the word that it is not ours any more."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from pydantic import ValidationError

from agents.base import Operation, OperationError
from agents.engine import fallback, gpus, policy
from agents.engine.caller import LedgerCaller, Reads
from agents.engine.calling import Commit
from agents.engine.endings import Expired, Lost, OverBudget, Parked, Stopped, Unfit
from agents.engine.hedging import Hedger
from agents.engine.seat import Seat
from agents.engine.tiering import Landed
from agents.engine.tiers import Rules
from prompts import Library
from providers.base import Provider
from providers.calls import Spent
from providers.errors import Broken, ModelNotFound, ProviderError
from providers.prices import PriceTable
from schemas.errors import ErrorType, Failure
from schemas.request import Lane, Request
from schemas.result import Status, Totals
from schemas.routes import Pinned
from store.errors import BadData, StoreError
from store.ledger.answers import metadata_of
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Closing, End, Hold, Move, PastCall, Retry, Step
from store.rows import plain

log = structlog.get_logger(__name__)
UNFIT_S = 0.25
"""So long a row waits, about, whose slot was at a node that cannot run it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every task is given."""

    operations: dict[str, Operation]
    providers: dict[str, Provider]
    prices: PriceTable
    library: Library
    commit: Commit
    patience: policy.Patience
    timeout_s: float
    heard: Callable[[Claimed, str, ProviderError | Spent, float], None]
    """Told how each call ended at its node: with an error or an answer that used so much, after how many seconds."""
    elsewhere: Callable[[Claimed, str], bool]
    """Whether another node than the one that refused may take the request now."""
    allowed: Callable[[Claimed, int], Awaitable[None]]
    """Returns when a call of so many tokens may leave."""
    gpus: Callable[[Claimed], Awaitable[dict[str, bool | None]]]
    """Whether the nodes of the request's provider have a GPU; None: it is not known."""
    ensure: Callable[[str], Awaitable[object]]
    """Returns when what was pinned at acceptance is here, as far as it can be had; it stays as long as somebody has what is returned."""
    reads: Callable[[Claimed], Reads | None] = lambda _: None
    """Who reads along while the answer is made; None: nobody does."""
    near: Callable[[str], list[str]] = lambda _: []
    """Names that somebody may have meant who named a model that is not there."""
    tiers: Rules = field(default_factory=Rules)
    """When a call is made on a cheaper tier."""
    hedger: Callable[[Claimed], Hedger | None] = lambda _: None
    """For second calls beside those that take long."""


def ids(claim: Claimed) -> dict[str, Any]:
    """Whose line it is; on every line of a log that is about one request."""
    lane = Lane(claim.lane).name.lower()
    return {"request_id": claim.id, "tenant": claim.tenant, "operation": claim.operation, "lane": lane}


async def run(
    claim: Claimed,
    seat: Seat,
    past: list[PastCall],
    tools: Tools,
    holder: list[LedgerCaller],
    read: tuple[Request, Any] | None = None,
    landed: Landed | None = None,
) -> Step | None:
    """The step that ends this lease; None: the row is not ours any more, or lies in a provider's batch.

    `holder` gets the caller, so that whoever cancels this task can still book what its open call cost. `read`: the request and
    its input, where its door has read them just now. `landed`: a call of it that came back in a batch.
    """
    operation = tools.operations.get(claim.operation)
    provider = tools.providers.get(claim.provider)
    if operation is None or provider is None:
        missing = f"operation {claim.operation!r}" if operation is None else f"provider {claim.provider!r}"
        return _unrunnable(claim, f"this worker does not know the {missing}; is it an older version?")
    try:
        request, input_ = read or _read(claim, operation)
    except ValidationError as error:
        return _unrunnable(claim, str(error))
    caller = LedgerCaller(
        claim,
        seat,
        request.options,
        provider=provider,
        prices=tools.prices,
        library=tools.library,
        past=past,
        commit=tools.commit,
        timeout_s=request.options.timeout_s or tools.timeout_s,
        heard=lambda node, ended, took_s: tools.heard(claim, node, ended, took_s),
        allowed=lambda tokens: tools.allowed(claim, tokens),
        reads=tools.reads(claim),
        rules=tools.tiers,
        landed=landed,
        hedger=tools.hedger(claim),
    )
    if request.options.resource == "gpu":
        nodes = await tools.gpus(claim)
        if (why := gpus.refusal(claim.provider, nodes)) is not None:
            return _unrunnable(claim, why)
        caller.calling.fits = gpus.fitting(nodes)
    if claim.pinned is not None:
        caller.held = await tools.ensure(claim.pinned)
    holder.append(caller)
    _warn(caller, request, operation)
    return await _attempt(operation, input_, request, caller, tools)


def _read(claim: Claimed, operation: Operation) -> tuple[Request, Any]:
    request = Request.model_validate_json(claim.value)
    return request, operation.input.model_validate(request.input)


async def _attempt(  # noqa: PLR0911 - one per way to end
    operation: Operation, input_: Any, request: Request, caller: LedgerCaller, tools: Tools
) -> Step | None:
    claim = caller.claim
    try:
        output = (await operation.run(input_, caller)).model_dump(mode="json")
    except (Lost, Parked):
        return None
    except Unfit:  # to whoever gets a fitting slot next; the others' rows have this one meanwhile
        return Step(claim, caller.books.kept(), then=Retry(UNFIT_S * (1 + policy.jitter())))
    except Stopped:
        return stopped(caller, request.metadata)
    except Expired:
        return _step(caller, request.metadata, Status.EXPIRED, None)
    except (OperationError, OverBudget) as error:
        letter = error.failure.type not in policy.NOT_DEAD_LETTERS
        return _step(caller, request.metadata, Status.FAILED, error.failure, dead_letter=letter, wasted=True)
    except ProviderError as error:
        return _after(error, caller, request.metadata, tools)
    except BadData as error:
        return _internal(caller, request, f"the database refuses what this call needs: {error}")
    except Exception as error:
        log.exception("an operation broke", **ids(claim))
        return _internal(caller, request, f"a defect in {claim.operation}: {type(error).__name__}")
    if claim.deadline is not None and claim.now() > claim.deadline:
        caller.warn("late: the answer came after its deadline")
    return _step(caller, request.metadata, Status.SUCCEEDED, None, output=output)


def cut_off(caller: LedgerCaller, metadata: dict[str, Any], tools: Tools) -> Step:
    """This process ends before the answer to a paid call has come; the call is booked already."""
    return _after(Broken("its process ended before the answer came"), caller, metadata, tools)


def _after(error: ProviderError, caller: LedgerCaller, metadata: dict[str, Any], tools: Tools) -> Step:
    claim = caller.claim
    elsewhere = policy.goes_elsewhere(error) and tools.elsewhere(claim, caller.seat.node)
    if elsewhere:  # a node's fault is not a try of the request's; the first one stays, it says that there is a journal
        claim.attempts = max(1, claim.attempts - 1)
    begun = claim.alone and caller.begun_to_tell
    pinned = None if claim.route is None else Pinned.model_validate_json(claim.route)
    tries = max(1, claim.attempts - (pinned.since if pinned is not None else 0))
    decision = policy.after(
        error,
        attempts=1 if caller.books.progressed() else tries,
        paid=claim.paid,
        on_ambiguous=claim.on_ambiguous,
        ambiguous=claim.ambiguous,
        patience=tools.patience,
        chance=policy.jitter(),
        elsewhere=elsewhere,
        begun=begun,
    )
    if pinned is not None and not begun:
        known = pinned.model_copy(update={"left": [each for each in pinned.left if each.provider in tools.providers]})
        went = fallback.onward(known, error, decision, tries=tries, elsewhere=elsewhere)
        if went is not None:
            return _move(error, caller, known, went)
    if isinstance(decision, policy.TryAgain):
        log.info(
            "another try",
            **ids(claim),
            attempt=claim.attempts,
            error=error.type.value,
            delay_s=round(decision.delay_s, 2),
        )
        return Step(claim, caller.books.kept(), then=Retry(decision.delay_s, decision.ambiguous))
    if isinstance(decision, policy.AskFirst):
        log.warning("held: a paid call broke off; see `genai-spine held`", **ids(claim), error=error.type.value)
        return Step(claim, caller.books.kept(), then=Hold())
    decision = policy.shown(decision, claim.attempts)
    if isinstance(error, ModelNotFound) and (meant := tools.near(caller.options.model or claim.model)):
        decision = policy.meaning(decision, meant)
    return _step(caller, metadata, Status.FAILED, decision.failure, dead_letter=decision.dead_letter)


def _move(error: ProviderError, caller: LedgerCaller, pinned: Pinned, went: fallback.Onward) -> Step:
    """To the route's next target; what the calls here have cost stays booked, and their answers stay behind."""
    claim, to = caller.claim, went.to
    here = f"{claim.provider}/{claim.model}"
    kept = fallback.moved(pinned, here, error, went, caller.books.booked_here(), claim.attempts)
    log.info(
        "on to another model", **ids(claim), source=here, target=f"{to.provider}/{to.model}", error=error.type.value
    )
    then = Move(
        to.provider,
        to.model,
        to.paid,
        kept.model_dump_json(exclude_defaults=True),
        went.ambiguous,
        to.wait_s if kept.patient else None,
    )
    return Step(claim, caller.books.kept(), then=then)


def _internal(caller: LedgerCaller, request: Request, words: str) -> Step:
    failure = Failure(type=ErrorType.INTERNAL, message=words)
    return _step(caller, request.metadata, Status.FAILED, failure, dead_letter=True, wasted=True)


def stopped(caller: LedgerCaller, metadata: dict[str, Any]) -> Step:
    """Cancelled; what its calls cost is wasted."""
    return _step(caller, metadata, Status.CANCELLED, None, wasted=True)


def _step(
    caller: LedgerCaller,
    metadata: dict[str, Any],
    status: Status,
    failure: Failure | None,
    *,
    output: dict[str, Any] | None = None,
    dead_letter: bool = False,
    wasted: bool = False,
) -> Step:
    claim, totals, saved = caller.claim, caller.books.totals(), None
    target = f"{claim.provider}/{claim.model}"
    if (words := caller.books.paid_in_vain(target)) is not None:
        caller.warn(words)
    if status is Status.SUCCEEDED:
        totals.wasted = caller.books.wasted()
    if claim.route is not None:
        pinned = Pinned.model_validate_json(claim.route)
        for words in fallback.paid_before(pinned, target):
            caller.warn(words)
        saved = fallback.saved(pinned, totals, caller.prices) if status is Status.SUCCEEDED else None
    tier, tier_saved = caller.tiered() if status is Status.SUCCEEDED else (None, None)
    if saved is not None and tier_saved is not None:  # nothing is saved twice
        saved -= tier_saved
    end = End(
        status=status,
        output=output,
        failure=failure,
        warnings=tuple(caller.warnings),
        totals=totals,
        metadata=metadata,
        latency_ms=caller.books.latency_ms(),
        dead_letter=dead_letter,
        attempts=claim.attempts,
        saved_nano=saved,
        hedged=caller.calling.hedged,
        tier=tier,
        tier_saved_nano=tier_saved,
    )
    return Step(claim, caller.books.last(wasted=wasted), then=end)


def refused(claim: Claimed, error: StoreError, step: Step | None) -> Step:
    """The database does not take `step`, if there was one; the request gets an answer that it takes, and its calls are booked."""
    words = f"the answer could not be recorded: {plain(str(error))}"
    then = step.then if step is not None and isinstance(step.then, End) else None
    closings = () if step is None else step.closings
    return _broken(claim, words, then.totals if then else Totals(), closings, then.latency_ms if then else 0)


def broken(claim: Claimed, error: Exception, caller: LedgerCaller | None) -> Step:
    """A defect of ours; whatever it was, the request ends, and what its calls cost is booked."""
    words = f"a defect in {claim.operation}: {type(error).__name__}"
    if caller is None:
        return _broken(claim, words, Totals(), (), 0)
    return _broken(claim, words, caller.books.totals(), caller.books.last(wasted=True), caller.books.latency_ms())


def _broken(claim: Claimed, words: str, totals: Totals, closings: Sequence[Closing], latency_ms: int) -> Step:
    failure = Failure(type=ErrorType.INTERNAL, message=words)
    end = End(Status.FAILED, None, failure, (), totals, {}, latency_ms, dead_letter=True, attempts=claim.attempts)
    return Step(claim, tuple(_wasted(closing) for closing in closings), then=end)


def _wasted(closing: Closing) -> Closing:
    """Its answer goes nowhere, and may be what could not be written down."""
    outcome, error = closing.outcome, closing.error
    return replace(
        closing,
        outcome="wasted" if outcome == "ok" else outcome,
        answer=None,
        error=None if error is None else plain(error),
    )


def _unrunnable(claim: Claimed, words: str) -> Step:
    failure = Failure(type=ErrorType.INVALID_REQUEST, message=words)
    metadata = metadata_of(claim.value)
    return Step(
        claim,
        then=End(Status.FAILED, None, failure, (), Totals(), metadata, 0, dead_letter=False, attempts=claim.attempts),
    )


def _warn(caller: LedgerCaller, request: Request, operation: Operation) -> None:
    unknown = request.unknown_fields() + [f"input.{name}" for name in unknown_input(operation, request.input)]
    if unknown:
        caller.warn(f"unknown fields were ignored: {', '.join(unknown[:20])}")
    if request.options.ordered and caller.claim.key is None:
        caller.warn(KEYLESS)


KEYLESS = "ordered is about records that share a key; this request came without one, so it kept no order"


def unknown_input(operation: Operation, input_: dict[str, Any]) -> list[str]:
    """Names in `input` that the operation does not know."""
    fields = operation.input.model_fields
    known = set(fields) | {field.alias for field in fields.values() if field.alias}
    return sorted(name for name in input_ if name not in known)
