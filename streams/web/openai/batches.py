"""`/v1/batches`: a file of requests as one run; OpenAI's words for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import uuid_utils
from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from schemas.request import Lane
from store.database import now
from store.errors import StoreError
from store.ledger.types.arrivals import Arrival, CancelAsk
from store.runs import read, write
from streams.runs import asking, pacing, parts
from streams.runs.parts import BadLine
from streams.spine import Spine
from streams.web import queries
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.looking import change
from streams.web.looking import read as look_up
from streams.web.openai import batched, files
from streams.web.openai.door import tenant_of
from streams.web.openai.fields import only, text, wrong
from streams.web.openai.lines import ENDPOINTS, Checks, item
from streams.web.principal import Principal, principal_of
from streams.web.problems import Problem, unavailable

KIND = "batch"
_WINDOW = timedelta(hours=24)
_MOST_BODY = 64 * 1024
_BREATH = 100
"""Lines after which others have their turn."""
_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"})


async def create(front: Front, request: Request) -> Response:
    """Run every request of a file. A line that is none fails with its number and the others run; a batch of which no line is good fails."""
    spine = front.parts()
    if front.leaving:
        raise unavailable("This process is ending; ask again in a moment.")
    asked = _asked(await read_object(request, _MOST_BODY))
    tenant = tenant_of(front, request)
    endpoint, file_id = asked["endpoint"], asked["input_file_id"]
    principal_of(request).check_operation(ENDPOINTS[endpoint])
    file = await files.named(front, tenant, file_id)
    if file.purpose != files.PURPOSE:
        words = (
            f"The file {file_id!r} was uploaded with purpose={file.purpose}; a batch is made of one with purpose=batch."
        )
        raise wrong("input_file_id", words)
    new = _new(asked, tenant, principal_of(request), quiet=not spine.settings.chat_results)
    checks = Checks(endpoint, spine.settings.request_max_bytes)
    async for number, line in _lines(front, tenant, file_id):
        with contextlib.suppress(BadLine):
            checks.read(number, line)
        if number % _BREATH == 0:
            await asyncio.sleep(0)
    if errors := checks.end():
        return await _failed(front, new, errors)
    await change(spine, lambda conn: write.make(conn, new, spine.worker))
    try:
        await _fill(front, request, new, file_id)
    except BaseException:
        await change(spine, lambda conn: write.break_off(conn, tenant, new.id))
        raise
    spine.runs.look()
    return _json(batched.batch(await _row(front, tenant, new.id)))


def _asked(body: Mapping[str, Any]) -> dict[str, Any]:
    told = only(body, _FIELDS, "")
    text(told, "input_file_id")
    if text(told, "endpoint") not in ENDPOINTS:
        raise wrong("endpoint", f"`endpoint` is one of {', '.join(ENDPOINTS)}.")
    if text(told, "completion_window") != "24h":
        raise wrong("completion_window", "`completion_window` must be 24h.")
    if "output_expires_after" in told:
        words = "`output_expires_after` is not done: answers stay as long as GENAI_KEEP_BODIES_DAYS says."
        raise wrong("output_expires_after", words, "unsupported_parameter")
    metadata = told.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise wrong("metadata", "`metadata` must be an object of texts.")
    return told


def _new(asked: Mapping[str, Any], tenant: str, who: Principal, *, quiet: bool) -> write.New:
    id_ = f"batch_{uuid_utils.uuid7().hex}"
    said = {
        "metadata": asked.get("metadata", {}),
        "input_file_id": asked["input_file_id"],
        "completion_window": asked["completion_window"],
        "key_id": who.key_id,
        "quiet": quiet,
        **pacing.said(who.limits.minute()),
    }
    until = (datetime.now(UTC) + _WINDOW).timestamp()
    operation = ENDPOINTS[asked["endpoint"]]
    return write.New(
        tenant, id_, KIND, asked["endpoint"], operation, int(Lane.BATCH), orjson.dumps(said), id_.encode(), None, until
    )


async def _failed(front: Front, new: write.New, errors: list[dict[str, Any]]) -> Response:
    """It stands there with what is wrong, and nothing of it runs."""
    spine = front.parts()

    def made(conn: Connection) -> None:
        said = orjson.dumps(orjson.loads(new.said) | {"errors": errors})
        write.make(conn, new, spine.worker, [])
        write.counted(
            conn, new.tenant, new.id, {"said": said, "status": "failed", "ended_at": now(conn), "owner": None}
        )

    await change(spine, made)
    return _json(batched.batch(await _row(front, new.tenant, new.id)))


async def _fill(front: Front, request: Request, new: write.New, file_id: str) -> None:
    spine, who = front.parts(), principal_of(request)
    assert new.deadline is not None
    deadline = datetime.fromtimestamp(new.deadline, UTC).isoformat()

    def check(made: bytes) -> None:
        """Only keys that are not for everything cost this."""
        if not (who.may("models", "*/*") and who.may("lanes", "*")):
            who.check(asking.ask(new, made, 0, spine.decoder))

    checks = Checks(new.name, front.settings.request_max_bytes)
    count, size, waiting, digest = 0, 0, list[bytes](), parts.digest()
    async for number, line in _lines(front, new.tenant, file_id):
        if number % _BREATH == 0:
            await asyncio.sleep(0)
        digest.update(line or b"")
        waiting.append(item(checks, number, line, deadline, check))
        size += len(waiting[-1])
        if len(waiting) == parts.MOST or size > parts.MOST_BYTES:
            await _add(spine, new, count, waiting)
            count, size, waiting = count + len(waiting), 0, []
            spine.runs.look()
    await _add(spine, new, count, waiting)
    await change(spine, lambda conn: write.seal(conn, new.tenant, new.id, digest.digest()))


async def _add(spine: Spine, new: write.New, first: int, waiting: list[bytes]) -> None:
    packed = list(parts.packed(first, waiting))
    if not await change(spine, lambda conn: write.add(conn, new.tenant, new.id, packed)):
        raise Problem(409, f"The batch {new.id!r} was cancelled while it was made.")


def _lines(front: Front, tenant: str, file_id: str) -> AsyncIterator[tuple[int, bytes | None]]:
    return parts.split(files.pieces(front, tenant, file_id), front.settings.request_max_bytes)


async def one(front: Front, request: Request) -> Response:
    """A batch as it stands."""
    return _json(batched.batch(await _named(front, request)))


async def listed(front: Front, request: Request) -> Response:
    """Batches, newest first: `?after=&limit=`."""
    told = queries.told(request, ("after", "limit"))
    limit = queries.whole("limit", told.get("limit"), 20, 100)
    tenant = tenant_of(front, request)
    page = partial(read.of_kind, tenant=tenant, kind=KIND, after=told.get("after"), limit=limit + 1)
    return _json(files.paged([batched.batch(row) for row in await look_up(front.parts(), page)], limit))


async def cancel(front: Front, request: Request) -> Response:
    """Cancel a batch: what has been answered stays, nothing more is begun."""
    spine, row = front.parts(), await _named(front, request)
    if not await change(spine, lambda conn: write.cancel(conn, row.tenant, row.id)):
        raise wrong(
            "batch_id", f"The batch {row.id!r} has ended before ({batched.status(row)}); nothing was cancelled."
        )
    try:
        await spine.writer.accept([Arrival(CancelAsk(row.tenant, None, None, row.id), None, None, None, b"[]")])
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); asking again is harmless.") from error
    spine.runs.look()
    return _json(batched.batch(await _row(front, row.tenant, row.id)))


async def _named(front: Front, request: Request) -> Row[Any]:
    return await _row(front, tenant_of(front, request), request.path_params["batch_id"])


async def _row(front: Front, tenant: str, id_: str) -> Row[Any]:
    found: Row[Any] | None = await look_up(front.parts(), lambda conn: read.one(conn, tenant, id_))
    if found is None or found.kind != KIND:
        raise Problem(404, f"There is no batch {id_[:200]!r}.", param="id")
    return found


def _json(told: Any) -> Response:
    return Response(orjson.dumps(told), 200, media_type="application/json")
