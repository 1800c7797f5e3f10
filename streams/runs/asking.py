"""From what was asked for to a run in the ledger: checked whole before anything is kept."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import uuid_utils

from schemas.errors import ErrorType, Failure
from schemas.money import to_nano
from schemas.request import Lane, epoch
from schemas.runs import NewRun
from store.ledger.quotas import UNBOUND, Most
from store.ledger.types.arrivals import Ask
from store.runs import write
from streams.decode import Decoder
from streams.prompting.registry import Registry
from streams.runs import kinds, pacing, parts
from streams.runs.kinds import BadRun, Kind


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that can be made, and how its items become requests."""

    new: write.New
    kind: Kind
    common: Mapping[str, Any]
    """Of every item: options, deadline, and of its input what lines need not say."""


def planned(
    asked: NewRun, tenant: str, key_id: str | None = None, minute: Most = UNBOUND, of: Kind | None = None
) -> Plan:
    """Raises `BadRun`. `key_id`: whose key brought it; `minute`: what that one may ask in one; `of`: what it is, where that
    stands not in the table of runs.
    """
    name, kind = kinds.of(asked) if of is None else (asked.name, of)
    lane = kinds.lane_of(asked)
    id_ = asked.id or f"run_{uuid_utils.uuid7().hex}"
    told = asked.model_dump(mode="json", exclude={"idempotency_key", "id", "tenant"}, exclude_unset=True)
    said = {
        "metadata": asked.metadata,
        "key_id": key_id,
        "webhook": None if asked.webhook is None else asked.webhook.model_dump(),
        "options": kinds.options_of(asked),
        **pacing.said(minute),
    }
    new = write.New(
        tenant,
        id_,
        asked.kind,
        name,
        kind.operation,
        int(Lane[lane.upper()]),
        orjson.dumps(said),
        hashlib.blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=16).digest(),
        asked.idempotency_key,
        epoch(asked.deadline),
        None if asked.budget_usd is None else to_nano(asked.budget_usd),
    )
    common: dict[str, Any] = {"options": said["options"], "input": kinds.common(asked, kind)}
    if asked.deadline is not None:
        common["deadline"] = asked.deadline.isoformat()
    return Plan(new, kind, common)


def items(plan: Plan, asked: NewRun, decoder: Decoder) -> list[bytes]:
    """The items of a run whose params hold them; a task's one item is checked at once. Raises `BadRun`."""
    try:
        found = [parts.line({**plan.common, "input": one}) for one in kinds.inputs(asked, plan.kind)]
    except TypeError as error:
        raise BadRun(f"the params cannot be kept as JSON: {error}") from error
    what = ask(plan.new, found[0], 0, decoder)
    if plan.kind.many is None and what.failure is not None:
        raise BadRun(what.failure.message)
    return found


def typical(plan: Plan, decoder: Decoder) -> Ask:
    """An item that names no model of its own: what the caller must be allowed to ask. Where a text alone is no item, a chat
    with the same options shows which model is meant.
    """
    found = ask(plan.new, parts.line(_item(plan, "x")), 0, decoder)
    if found.failure is None:
        return found
    chat = replace(plan.new, operation="complete")
    return replace(
        ask(chat, parts.line({**plan.common, "input": {"prompt": "x"}}), 0, decoder), operation=found.operation
    )


def uploaded(plan: Plan, number: int, line: bytes | None, most: int, *, any_model: bool) -> bytes:
    """An uploaded line as an item; a broken one becomes an item that fails and says its number."""
    try:
        told = parts.told(line, most)
    except parts.BadLine as flaw:
        return parts.broken(f"line {number}{flaw}")
    if (why := _wrong_line(told, any_model=any_model)) is not None:
        return parts.broken(f"line {number}{why}")
    if isinstance(told, dict) and isinstance(told.get("input"), dict):
        options = {**plan.common["options"], **(told.get("options") or {})}
        return parts.line(_item(plan, told["input"]) | {"options": options, "metadata": told.get("metadata") or {}})
    return parts.line(_item(plan, told))


def _wrong_line(told: Any, *, any_model: bool) -> str | None:
    if not isinstance(told, dict | str):
        return " is neither an object nor a text"
    if isinstance(told, dict) and isinstance(told.get("input"), dict):
        return _wrong_options(told.get("options") or {}, any_model=any_model)
    return None


def _item(plan: Plan, told: Any) -> dict[str, Any]:
    """What it says itself goes before what is said of all."""
    return {**plan.common, "input": {**plan.common["input"], **kinds.item_input(told, plan.kind)}}


def _wrong_options(own: Any, *, any_model: bool) -> str | None:
    if not isinstance(own, dict):
        return ": `options` is no object"
    if not any_model and not {"provider", "model"}.isdisjoint(own):
        return " names a model of its own, and this key is not for every model"
    return None


async def as_accepted(run: Any, decoder: Decoder, registry: Registry) -> Decoder:
    """For all items of a run, whenever they become requests: it knows prompts and labels as they were when the run was accepted.
    Raises `StoreError`.
    """
    return replace(decoder, library=await registry.as_of(run.prompts_revision))


def again(each: Any, *decoders: Decoder) -> Ask | None:
    """An item as it was sent, asked once more by the first of these that can; None: as it is now it cannot be."""
    for decoder in decoders:
        what = decoder.ask(each.operation, Lane(each.lane), bytes(each.value), (), place=each.id, tenant="")
        if isinstance(what, Ask) and what.failure is None:
            return what
    return None


def ask(run: Any, line: bytes, number: int, decoder: Decoder) -> Ask:
    """One item as the ledger takes it: its id is the run's, a slash and its number."""
    id_ = f"{run.id}/{number}"
    told = orjson.loads(line)
    record = told if "broken" in told else told | {"id": id_, "tenant": run.tenant, "run_id": run.id}
    what = decoder.ask(run.operation, Lane(run.lane), orjson.dumps(record), (), place=id_, tenant=run.tenant)
    if not isinstance(what, Ask):
        raise TypeError(f"the item {id_} is no record")
    if "broken" in told:
        return _failing(what, run, id_, told["broken"], told.get("details"))
    return what if what.failure is None else _failing(what, run, id_, what.failure.message)


def _failing(what: Ask, run: Any, id_: str, words: str, details: dict[str, Any] | None = None) -> Ask:
    failure = Failure(type=ErrorType.INVALID_REQUEST, message=words, details=details or {})
    return replace(what, id=id_, tenant=run.tenant, run_id=run.id, failure=failure, unreadable=False)


def values(run: Any, lines: list[bytes], first: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Each line with its number, and the record by which its request is known."""
    for number, line in enumerate(lines, first):
        told = orjson.loads(line)
        told |= {"id": f"{run.id}/{number}", "tenant": run.tenant, "run_id": run.id}
        yield number, line, orjson.dumps(told)
