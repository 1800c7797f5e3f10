"""Bytes to a decision about them: a request, an invalid request that can be answered, a cancel, or no request at all.

Pure: with the same library, the same record decodes to the same `Ask` wherever and whenever it is read; its fingerprint
also says which weights the model's name stands for, as far as that was seen.
"""

import codecs
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from agents.base import InvalidInput, Operation, Whose
from prompts import Library, Preferences, PromptError
from providers.base import Provider
from providers.prices import PriceTable
from schemas.control import Cancel
from schemas.depth import MAX_DEPTH, is_deeper, may_be_deeper
from schemas.errors import ErrorType, Failure
from schemas.request import CHANGE_THE_ANSWER, PRINTABLE, REPLAYS, Lane, Name, Request, epoch
from schemas.routes import guards
from store.ledger.order import guess
from store.ledger.types.arrivals import Ask, CancelAsk, Unreadable
from store.ledger.types.records import Position
from streams.choosing import Choice, Refusal, Router
from streams.feared import feared
from streams.fingerprint import fingerprint, shares

Headers = Sequence[tuple[str, bytes]]

ENVELOPE = frozenset({"id", "options", "tenant", "idempotency_key", "supersede_key", "run_id", "deadline", "metadata"})
"""Fields of the envelope; over HTTP, where bodies are flat, whatever else there is belongs to `input`."""

TOO_DEEP = f"the value is nested too deeply; send at most {MAX_DEPTH} levels"
STAND_INS = {"genai-id": "id", "genai-tenant": "tenant", "genai-deadline": "deadline"}
_name: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a request that does not say gets."""

    tenant: str
    tenants: Mapping[str, str]
    cache_s: float = 0.0
    """How old a cached answer may be; 0: there is no cache."""
    cache_tenants: bool = False
    """Whether tenants share answers."""
    patience_s: float = 600.0
    """So long after its acceptance a request is due whose deadline is not sooner."""
    tenants_bind: bool = False
    """Whether a record of such a topic may name no other tenant."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes for one set of operations and providers."""

    operations: Mapping[str, Operation]
    providers: Mapping[str, Provider]
    defaults: Defaults
    library: Library
    router: Router
    """What a model's name stands for."""
    prices: PriceTable | None = None
    """None: nobody asks what a request may cost."""

    def record(
        self,
        operation: str,
        lane: Lane,
        position: Position,
        value: bytes | None,
        headers: Headers,
        key: bytes | None = None,
    ) -> Ask | Unreadable:
        """One record of a request topic. Without an id of its own, its place is its id, so that a redelivery has the same one."""
        place = f"{position.topic}/{position.partition}/{position.offset}/{position.timestamp}"
        tenant = self.defaults.tenants.get(position.topic, self.defaults.tenant)
        found = self.ask(operation, lane, value, headers, place=place, tenant=tenant, key=key)
        bound = self.defaults.tenants_bind and position.topic in self.defaults.tenants
        if not (bound and isinstance(found, Ask) and found.tenant != tenant):
            return found
        words = f"this topic is of the tenant {tenant!r} (GENAI_TENANTS), and the record names {found.tenant!r}"
        return _invalid_ask(operation, lane, found.id, tenant, value or b"", _invalid(words), found.metadata)

    def ask(
        self,
        operation: str,
        lane: Lane,
        value: bytes | None,
        headers: Headers,
        *,
        place: str,
        tenant: str,
        key: bytes | None = None,
    ) -> Ask | Unreadable:
        """The same for any door."""
        if value is None or not value.strip():
            return Unreadable(_invalid("the record has no value; write a JSON object with an `input`"))
        try:
            loaded = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            return _broken(operation, lane, value, headers, _not_json(value, error), tenant)
        if not isinstance(loaded, dict):
            return Unreadable(_invalid(f"the value is a JSON {_kind(loaded)}; write an object with an `input`"))
        fields = _with_stand_ins(loaded, headers)
        id_, named = _readable(fields.get("id"), place), _readable(fields.get("tenant"), tenant)
        if may_be_deeper(value, MAX_DEPTH) and is_deeper(loaded, MAX_DEPTH):
            return _invalid_ask(operation, lane, id_, named, value, _invalid(TOO_DEEP), None)
        try:
            request = Request.model_validate(fields)
            return self._checked(operation, lane, request, id_, named, value, key)
        except (ValidationError, InvalidInput, Refusal) as error:
            return _invalid_ask(operation, lane, id_, named, value, _failure(error), loaded.get("metadata"))

    def may_know_later(self, what: object) -> bool:
        """Whether it was refused for something that another process may have just made: a prompt, a version, a label."""
        if not isinstance(what, Ask) or what.failure is None:
            return False
        operation = self.operations.get(what.operation)
        return operation is not None and operation.pin is not None

    def _checked(
        self, operation: str, lane: Lane, request: Request, id_: str, tenant: str, value: bytes, key: bytes | None
    ) -> Ask:
        if request.run_id is not None and request.run_id.startswith(REPLAYS):
            raise Refusal(f"`run_id`: names that begin with {REPLAYS!r} belong to `genai-spine replay`; choose another")
        op = self.operations.get(operation)
        if op is None:
            raise Refusal(f"operation {operation!r} is not known; known are {', '.join(sorted(self.operations))}")
        input_ = _input(op, request)
        sticky = _sticky(id_, key)
        pinned = None if op.pin is None else op.pin(input_, self.library, Whose(tenant, sticky))
        preferred = None if op.prefers is None or pinned is None else op.prefers(pinned, self.library)
        wished = request if preferred is None else _preferring(request, preferred)
        choice = self.router.choose(op, input_, wished, tenant=tenant, id_=id_, lane=lane, key=key)
        provider, model = choice.provider, choice.model
        if (own := self._own(op, sticky)) is not None:
            pinned = own if pinned is None else f"{pinned}\n{own}"
        embeds = op.kind_with(provider.traits) == "embed"
        cached = self.defaults.cache_s > 0 and shares(op, request)
        return Ask(
            tenant=tenant,
            operation=operation,
            id=id_,
            payload_hash=payload_hash(operation, request),
            lane=int(lane),
            provider=provider.name,
            model=model,
            route=choice.route,
            wait_s=choice.wait_s,
            paid=provider.traits.paid,
            on_ambiguous=request.options.on_ambiguous,
            deadline=epoch(request.deadline),
            run_id=request.run_id,
            idempotency_key=request.idempotency_key,
            supersede_key=request.supersede_key,
            ordered=request.options.ordered,
            metadata=request.metadata,
            pinned=pinned,
            fingerprint=self._fingerprint(op, request, tenant, choice, pinned) if cached else None,
            fresh_s=self.defaults.cache_s if cached and request.options.cache == "use" else 0.0,
            patience_s=self.defaults.patience_s,
            weight=guess(len(value), request.options.max_tokens, writes=not embeds),
            estimate_nano=feared(self.prices, provider.name, model, request, value, embeds=embeds)
            if self.prices
            else 0,
            read=(request, input_),
        )

    def _own(self, operation: Operation, sticky: str) -> str | None:
        try:
            return self.library.own(operation.wordings, sticky)
        except PromptError as error:
            raise Refusal(f"{error}; move its label to a version that can be read") from error

    def _fingerprint(
        self, operation: Operation, request: Request, tenant: str, choice: Choice, pinned: str | None
    ) -> bytes:
        return fingerprint(
            operation,
            request,
            tenant="" if self.defaults.cache_tenants else tenant,
            provider=choice.provider,
            model=choice.model,
            pinned=pinned,
            library=self.library,
            guards=guards(choice.route),
        )


def _input(operation: Operation, request: Request) -> BaseModel:
    try:
        input_ = operation.input.model_validate(request.input)
    except ValidationError as error:
        raise Refusal(sentence(error, "input")) from None
    if operation.check is not None:
        operation.check(input_)
    return input_


def _sticky(id_: str, key: bytes | None) -> str:
    return id_ if key is None else key.decode(errors="replace")


def _preferring(request: Request, preferred: Preferences) -> Request:
    """With the model of its prompt where it names none; a prompt's model goes with its provider."""
    options = request.options
    if options.model is not None or options.provider not in {None, preferred.provider}:
        return request
    wished = {"provider": preferred.provider, "model": preferred.model}
    return request.model_copy(update={"options": options.model_copy(update=wished)})


def cancel(value: bytes | None, default_tenant: str) -> CancelAsk | Unreadable:
    """One record of the control topic."""
    try:
        loaded = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        return Unreadable(_invalid(f"the value is not JSON ({error})"))
    if isinstance(loaded, dict):
        loaded.setdefault("tenant", default_tenant)
    try:
        asked = Cancel.model_validate(loaded)
    except ValidationError as error:
        return Unreadable(_invalid(sentence(error)))
    return CancelAsk(asked.tenant, asked.operation, asked.id, asked.run_id)


def envelope(body: Mapping[str, Any]) -> dict[str, Any]:
    """A flat HTTP body as the record that a producer would have written; one with an `input` object is that record already."""
    if isinstance(body.get("input"), dict):
        return dict(body)
    outside = {name: value for name, value in body.items() if name in ENVELOPE}
    return {**outside, "input": {name: value for name, value in body.items() if name not in ENVELOPE}}


def payload_hash(operation: str, request: Request) -> bytes:
    """What two records must share to be the same request: operation, input, and the options that change the answer."""
    options = {name: getattr(request.options, name) for name in CHANGE_THE_ANSWER}
    told = [operation, request.question(), {name: value for name, value in options.items() if value is not None}]
    if request.body_digest is not None:
        told.append(request.body_digest)
    return _hash(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _invalid(message: str) -> Failure:
    return Failure(type=ErrorType.INVALID_REQUEST, message=message[:2000])


def _failure(error: ValidationError | InvalidInput | Refusal) -> Failure:
    if isinstance(error, Refusal):
        return Failure(type=error.type, message=str(error)[:2000], details=error.details)
    return _invalid(sentence(error) if isinstance(error, ValidationError) else str(error))


def _invalid_ask(
    operation: str, lane: Lane, id_: str, tenant: str, value: bytes, failure: Failure, metadata: Any
) -> Ask:
    return Ask(
        tenant=tenant,
        operation=operation,
        id=id_,
        payload_hash=_hash(operation.encode() + b"\0" + value),
        lane=int(lane),
        metadata=metadata if isinstance(metadata, dict) else {},
        failure=failure,
    )


def _broken(operation: str, lane: Lane, value: bytes, headers: Headers, words: str, tenant: str) -> Ask | Unreadable:
    """Not JSON by the strict reader. A lenient one may still find the id, so that whoever waits for it gets an answer."""
    found = _with_stand_ins(_lenient(value), headers)
    id_ = _readable(found.get("id"), "")
    if not id_:
        return Unreadable(_invalid(words))
    return Ask(
        tenant=_readable(found.get("tenant"), tenant),
        operation=operation,
        id=id_,
        payload_hash=_hash(operation.encode() + b"\0" + value),
        lane=int(lane),
        failure=_invalid(words),
        unreadable=True,
    )


def _not_json(value: bytes, error: orjson.JSONDecodeError) -> str:
    if value.startswith(codecs.BOM_UTF8):
        return "the value begins with a byte order mark, which JSON has not; leave its three bytes out"
    return f"the value is not JSON ({error})"


def _lenient(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _with_stand_ins(fields: dict[str, Any], headers: Headers) -> dict[str, Any]:
    for header, content in headers:
        name = STAND_INS.get(header)
        if name is not None and fields.get(name) is None and content:
            fields = {**fields, name: content.decode(errors="replace")}
    return fields


def _readable(value: Any, otherwise: str) -> str:
    try:
        return _name.validate_python(value)
    except ValidationError:
        return otherwise


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def sentence(error: ValidationError, *prefix: str) -> str:
    """Pydantic's findings as one sentence a producer can act on."""
    told = []
    for found in _nearest(error.errors(include_url=False, include_input=False))[:5]:
        where = ".".join(str(part) for part in (*prefix, *found["loc"]) if not _names_a_branch(part))
        words = found["msg"].removeprefix("Value error, ")
        if found["type"] == "model_type":
            words = "Input should be an object"
        if found.get("ctx", {}).get("pattern") == PRINTABLE:
            words = "has a control character; leave that out"
        told.append(f"`{where}`: {words}" if where else words)
    return "; ".join(told)


def _nearest(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Where several types would do, what is wrong within the one that was meant, and not that it is none of the others."""
    told = [(error, _branch(error)) for error in errors]
    meant = {branch for error, branch in told if branch is not None and len(error["loc"]) > len(branch) + 1}
    return [
        error for error, branch in told if branch is None or branch not in meant or len(error["loc"]) > len(branch) + 1
    ]


def _branch(error: ErrorDetails) -> tuple[int | str, ...] | None:
    """The place at which several types would do."""
    at = next((i for i, part in enumerate(error["loc"]) if _names_a_branch(part)), None)
    return None if at is None else error["loc"][:at]


def _names_a_branch(part: int | str) -> bool:
    """In Pydantic's own words: `list[constrained-str]`, `dict[str,str]`, a key that is meant and not its value."""
    return isinstance(part, str) and part.endswith("]") and part.startswith(("list[", "dict[", "[key"))
