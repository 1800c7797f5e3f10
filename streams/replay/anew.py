"""One request asked anew: the record it becomes, what it may cost, and whether that fits under the budget. All pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import orjson

from agents import OPERATIONS
from prompts import Library, Wish
from prompts.files import ORIGIN
from providers.calls import ChatCall, EmbedCall, Message, Spent
from providers.prices import PriceTable, upper_estimate
from schemas.pin import pins
from schemas.request import MAX_NAME, Lane
from store.ledger.chosen import Recorded
from store.ledger.replays import Item, Original
from store.ledger.types.arrivals import Ask
from store.rows import pack_headers, unpack_headers
from streams.decode import STAND_INS, Decoder

DROPPED = frozenset({"idempotency_key", "supersede_key", "deadline", "run_id"})
"""Fields of the original that would tie its replay to other requests, or to a time that is past."""
PROMPTS = "execute_prompt"
"""The operation whose prompt its caller names."""
OWN = frozenset(f"{ORIGIN}{slug}" for operation in OPERATIONS.values() for slug in operation.wordings)
"""Ids of the prompts by which operations ask by themselves."""
_SETTLED = {"cache": "off", "ordered": False, "on_ambiguous": "fail"}
"""An answer out of a cache would be no second opinion, and nothing is paid a second time without being asked."""


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What is asked otherwise than before; None: as it was, in the very wording that the original was accepted with.

    `quiet`: the answers are for whoever compares them, and not published.
    """

    provider: str | None = None
    model: str | None = None
    prompt: str | None = None
    version: int | None = None
    quiet: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return asdict(self)


def identity(run: str, row: Any) -> str:
    """The replay's own id: the run's name and the original's id."""
    made = f"{run}/{row.id}"
    return made if len(made) <= MAX_NAME else f"{run}/{row.pk}"


def record(original: Original, run: str, otherwise: Otherwise) -> bytes | None:
    """The value to ask; None: the original's is no longer kept, or was no request."""
    try:
        told = orjson.loads(original.value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("input"), dict):
        return None
    row = original.row
    fields = {name: value for name, value in told.items() if name not in DROPPED}
    options = told.get("options")
    fields["options"] = (options if isinstance(options, dict) else {}) | _chosen(row, otherwise) | _SETTLED
    if row.operation == PROMPTS:
        fields["input"] = _worded(told["input"], row.pinned, otherwise)
    return orjson.dumps(fields | {"id": identity(run, row), "tenant": row.tenant})


def _worded(input_: dict[str, Any], pinned: str | None, otherwise: Otherwise) -> dict[str, Any]:
    """With another prompt, else with the version that a label stood for then."""
    kept = {name: value for name, value in input_.items() if name not in {"prompt", "version", "label"}}
    if otherwise.prompt is not None:
        return kept | {"prompt": otherwise.prompt, "version": otherwise.version}
    before = pins(pinned)
    return input_ if not before else kept | {"prompt": before[0].id, "version": before[0].version}


def _pinned(original: Original, found: Ask, otherwise: Otherwise, library: Library) -> str | None:
    """What is run: the wordings of before, but for the one that is tried."""
    before = {pin.id: str(pin) for pin in pins(original.row.pinned)}
    if found.operation == PROMPTS:  # its own goes first
        own = pins(found.pinned)[0]
        return "\n".join([str(own), *(line for id_, line in before.items() if id_ in OWN and id_ != own.id)])
    if otherwise.prompt is not None:
        tried, _ = library.chosen(f"{ORIGIN}{otherwise.prompt}", Wish(otherwise.version))
        before[tried.prompt.id] = str(tried.pin)
    return "\n".join(before.values()) or None


def _chosen(row: Any, otherwise: Otherwise) -> dict[str, str | None]:
    """Provider and model. Another provider without a model: its own default, as any request gets it."""
    if otherwise.provider is not None:
        return {"provider": otherwise.provider, "model": otherwise.model}
    return {"provider": row.provider or None, "model": otherwise.model or row.model or None}


def item(
    original: Original, run: str, otherwise: Otherwise, decoder: Decoder, prices: PriceTable, recorded: Recorded
) -> Item:
    """What is to be asked; without an `ask` where it cannot be."""
    value = record(original, run, otherwise)
    if value is None:
        return Item(original, None)
    row = original.row
    found = decoder.ask(row.operation, Lane.BATCH, value, [], place=identity(run, row), tenant=row.tenant)
    if not isinstance(found, Ask):
        return Item(original, None)
    headers = [(name, content) for name, content in unpack_headers(original.headers) if name not in STAND_INS]
    ask = replace(found, run_id=run, quiet=row.quiet or otherwise.quiet)
    if ask.failure is None:
        ask = replace(ask, pinned=_pinned(original, ask, otherwise, decoder.library))
    estimate = 0 if ask.failure is not None else cost(prices, ask, value, recorded)[1]
    return Item(original, estimate, ask, value, pack_headers(headers))


def cost(prices: PriceTable, ask: Ask, value: bytes, recorded: Recorded) -> tuple[int | None, int | None]:
    """About, and at most, in nano-dollars: by the tokens that were counted, and by those that had been feared. None: nothing
    prices it.
    """
    if not recorded.calls:
        feared = _unseen(ask, value)
        nano = prices.of(ask.provider, ask.model, feared).nano
        return nano, nano
    seconds = recorded.gpu_seconds
    counted = Spent(recorded.input_tokens, recorded.output_tokens, gpu_seconds=seconds)
    feared = Spent(
        max(recorded.input_tokens, recorded.feared_input),
        max(recorded.output_tokens, recorded.feared_output),
        gpu_seconds=max(seconds * 2, 60.0),
    )
    about = prices.of(ask.provider, ask.model, counted).nano
    return about, prices.of(ask.provider, ask.model, feared).nano


def _unseen(ask: Ask, value: bytes) -> Spent:
    """Of a request that never had an answer: by the size of its record."""
    text = value.decode(errors="replace")
    if ask.operation == "embed":
        return upper_estimate(EmbedCall(ask.model, (text,), 60.0))
    options: Mapping[str, Any] = orjson.loads(value).get("options") or {}
    limit = options.get("max_tokens")
    call = ChatCall(ask.model, (Message("user", text),), 60.0, max_tokens=limit if isinstance(limit, int) else None)
    return upper_estimate(call)


Verdict = Literal["ask", "wait", "leave"]


def fits(budget: int, spent: int, feared: int, estimate: int | None) -> Verdict:
    """Whether a request that may cost `estimate` is asked now, while others in flight may still cost `feared`: asked if all
    of it stays within the budget, put off while what is feared may turn out to be less, else left out. What is free is
    always asked; what nothing prices never.
    """
    if estimate is None:
        return "leave"
    if estimate == 0 or spent + feared + estimate <= budget:
        return "ask"
    return "wait" if feared > 0 and spent + estimate <= budget else "leave"
