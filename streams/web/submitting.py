"""`POST /v1/runs`: a run as JSON with its params, or its items line by line."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ErrorType
from schemas.runs import ENDED, NewRun
from store.database import Work
from store.runs import write
from streams.decode import sentence
from streams.runs import asking, kinds, making, parts, receivers
from streams.runs.kinds import BadRun
from streams.spine import Spine
from streams.web import heads, pipelines, queries, runs
from streams.web.asking import IDEMPOTENCY_KEY, seconds
from streams.web.bodies import read_object, uncoded
from streams.web.front import Front
from streams.web.looking import change
from streams.web.orders import spine_of
from streams.web.principal import principal_of
from streams.web.problems import Problem, answering, unavailable

_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines"})
_UPLOAD = (
    "kind",
    "name",
    "params",
    "tenant",
    "priority",
    "lane",
    "idempotency_key",
    "id",
    "model",
    "provider",
    "wait",
    "webhook",
    "budget_usd",
)
T = TypeVar("T")
_SIGNED_WITH = "webhook-secret"


async def create(front: Front, request: Request) -> Response:
    """Submit a run: as JSON with its params, or its items as JSON Lines with the rest in the query; `?wait=` for its end."""
    spine = spine_of(front, request)
    if front.leaving:
        raise unavailable("This process is ending; ask again in a moment.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _LINES:
        uncoded(request)
        told = queries.told(request, _UPLOAD)
        wait = seconds(told.pop("wait", None)) or 0.0
        row = await _uploaded(front, spine, request, told)
    else:
        wait = seconds(queries.told(request, ("wait",)).get("wait")) or 0.0
        body = await read_object(request, spine.settings.run_max_bytes)
        row = await _asked(front, spine, request, _new(body, request))
    spine.runs.look()
    if wait > 0:
        row = await runs.until_end(front, row, wait)
    return await runs.answer(front, row, 200 if row.status in ENDED else 202)


def _new(body: dict[str, Any], request: Request) -> NewRun:
    key = (heads.text(request, IDEMPOTENCY_KEY) or "").strip('"')
    if key and body.setdefault("idempotency_key", key) != key:
        raise Problem(422, "The header Idempotency-Key and the field idempotency_key name different keys; send one.")
    try:
        return NewRun.model_validate(body)
    except ValidationError as error:
        raise Problem(422, f"{sentence(error)}.") from None


async def _asked(front: Front, spine: Spine, request: Request, new: NewRun) -> Row[Any]:
    tenant = runs.tenant_of(front, request, new.tenant)
    _may_be_told(spine, new)
    try:
        minute = principal_of(request).limits.minute()
        make = partial(making.ready, new, tenant, spine.decoder, spine.pipelines, principal_of(request).key_id, minute)
        ready = await _decoded(spine, make)
    except BadRun as error:
        raise Problem(422, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    if ready.pipeline is not None:
        pipelines.check(spine, ready.pipeline, principal_of(request))
    elif ready.first is not None:
        principal_of(request).check(ready.first)
    else:
        principal_of(request).check_admin()
    row, _ = await _made(spine, lambda conn: making.make(conn, ready, spine.worker))
    return row


def _may_be_told(spine: Spine, new: NewRun) -> None:
    if new.webhook is not None and (why := receivers.wrong(new.webhook, spine.settings.outbound())):
        raise Problem(422, why)


def _said(told: dict[str, str], request: Request) -> dict[str, Any]:
    """What stands behind the `?` as the body of a run without items. Raises `Problem` 422."""
    said: dict[str, Any] = {"kind": "workflow", **told}
    said["options"] = {name: said.pop(name) for name in ("model", "provider") if name in said}
    if "webhook" in told:
        said["webhook"] = {"url": told["webhook"], "secret": request.headers.get(_SIGNED_WITH, "")}
    if "params" in told:
        try:
            said["params"] = orjson.loads(told["params"])
        except orjson.JSONDecodeError as error:
            raise Problem(422, f"The parameter params is not JSON ({error}); give an object.") from None
    return said


async def _uploaded(front: Front, spine: Spine, request: Request, told: dict[str, str]) -> Row[Any]:
    """Line by line, never the whole. An upload that breaks off leaves a run that takes no more and is cancelled."""
    new = _new(_said(told, request), request)
    tenant = runs.tenant_of(front, request, new.tenant)
    _may_be_told(spine, new)
    try:
        plan = asking.planned(new, tenant, principal_of(request).key_id, principal_of(request).limits.minute())
        kinds.check_lines(new, plan.kind)
    except BadRun as error:
        raise Problem(422, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    principal_of(request).check(await _decoded(spine, partial(asking.typical, plan, spine.decoder)))
    row, is_new = await _made(spine, lambda conn: write.make(conn, plan.new, spine.worker))
    if not is_new:
        return await _same(row, request)
    try:
        await _take(spine, plan, request)
    except BaseException:
        await change(spine, lambda conn: write.break_off(conn, tenant, row.id))
        raise
    return await runs.row_of(front, tenant, row.id)


async def _same(row: Row[Any], request: Request) -> Row[Any]:
    """What was uploaded before, if this is the very same. Raises `Problem` 409."""
    if row.broken_off:
        raise Problem(409, f"The upload of the run {row.id!r} broke off and it was cancelled; send it as another one.")
    if not row.sealed:
        raise Problem(409, f"The run {row.id!r} is being uploaded by somebody else; wait, or cancel it.")
    digest = parts.digest()
    async for chunk in request.stream():
        digest.update(chunk)
    if row.content_hash is not None and digest.digest() != bytes(row.content_hash):
        words = f"The run {row.id!r} was made of other lines; choose another id or key."
        raise Problem(409, words, error=ErrorType.IDEMPOTENCY_CONFLICT)
    return row


async def _take(spine: Spine, plan: asking.Plan, request: Request) -> None:
    """As many lines at a time as a part takes, and as many bytes."""
    most, count, size = spine.settings.request_max_bytes, 0, 0
    waiting: list[bytes] = []
    digest, any_model = parts.digest(), principal_of(request).may("models", "*/*")
    async for number, line in parts.split(parts.digested(request.stream(), digest), most):
        waiting.append(asking.uploaded(plan, number, line, most, any_model=any_model))
        size += len(waiting[-1])
        if len(waiting) == parts.MOST or size > parts.MOST_BYTES:
            await _add(spine, plan, count, waiting)
            count, size, waiting = count + len(waiting), 0, []
            spine.runs.look()
    await _add(spine, plan, count, waiting)
    if count + len(waiting) == 0:
        raise Problem(422, "The body holds no line; send one JSON object, or one text between quotes, per line.")
    if not await change(spine, lambda conn: write.seal(conn, plan.new.tenant, plan.new.id, digest.digest())):
        raise _cancelled(plan)


async def _add(spine: Spine, plan: asking.Plan, first: int, lines: Iterable[bytes]) -> None:
    packed = list(parts.packed(first, lines))
    if not await change(spine, lambda conn: write.add(conn, plan.new.tenant, plan.new.id, packed)):
        raise _cancelled(plan)


def _cancelled(plan: asking.Plan) -> Problem:
    return Problem(409, f"The run {plan.new.id!r} takes no more items: it was cancelled.")


async def _made(spine: Spine, work: Work[tuple[Row[Any], bool]]) -> tuple[Row[Any], bool]:
    try:
        found: tuple[Row[Any], bool] = await change(spine, work)
    except write.Conflict as error:
        raise Problem(409, f"{str(error)[:1].upper()}{str(error)[1:]}.", error=ErrorType.IDEMPOTENCY_CONFLICT) from None
    return found


async def _decoded(spine: Spine, decode: Callable[[], T]) -> T:
    with answering():
        return await spine.registry.decoded(decode)
