"""`/v1/files`: what batches are made of, and what comes out of them; documents that runs name. Streamed both ways."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import orjson
import uuid_utils
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from store import files
from store.runs import read
from streams.runs import parts
from streams.web import queries
from streams.web.bodies import uncoded
from streams.web.front import Front
from streams.web.looking import change
from streams.web.looking import read as look_up
from streams.web.openai import batched, multipart
from streams.web.openai.door import tenant_of
from streams.web.openai.fields import wrong
from streams.web.openai.lines import MOST_LINES
from streams.web.problems import Problem

PURPOSE, DOCUMENT = "batch", "user_data"
_PART = 1024 * 1024
_PAGE = 200


async def upload(front: Front, request: Request) -> Response:
    """Keep a file: a form with `purpose` and `file`. `batch`: requests, one per line; `user_data`: a document that runs may name."""
    uncoded(request)
    tenant = tenant_of(front, request)
    new = files.New(tenant, f"file-{uuid_utils.uuid7().hex}", "batch.jsonl", PURPOSE)
    await change(front.parts(), partial(files.begin, new=new))
    try:
        form = await _taken(front, request, new)
    except BaseException:
        await change(front.parts(), partial(files.drop, tenant=tenant, id_=new.id))
        raise
    await change(
        front.parts(),
        partial(files.finish, tenant=tenant, id_=new.id, size=form.size, name=form.name, purpose=form.purpose),
    )
    return _json(batched.file(await named(front, tenant, new.id)))


async def _taken(front: Front, request: Request, new: files.New) -> "_Form":
    """What the form said; the file's bytes go part by part into the database."""
    form = _Form(front.settings.file_max_bytes)
    number, waiting = 0, bytearray()
    async for piece in multipart.pieces(request.headers.get("content-type", ""), request.stream()):
        waiting += form.took(piece)
        if len(waiting) >= _PART:
            await change(
                front.parts(), partial(files.add, tenant=new.tenant, id_=new.id, number=number, data=bytes(waiting))
            )
            number, waiting = number + 1, bytearray()
    form.end()
    if waiting:
        await change(
            front.parts(), partial(files.add, tenant=new.tenant, id_=new.id, number=number, data=bytes(waiting))
        )
    return form


class _Form:
    """What a form has said so far. Raises `Problem` as soon as something is wrong with it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.name, self.size, self.lines = "", 0, 1
        self.fields: dict[str, bytes] = {}

    @property
    def purpose(self) -> str:
        return self.fields.get("purpose", b"").decode(errors="replace")

    def took(self, piece: multipart.Piece) -> bytes:
        """What of it is the file's."""
        if piece.file is None:
            self.fields[piece.name[:100]] = said = self.fields.get(piece.name[:100], b"") + piece.data
            if len(said) > multipart.MOST_FIELD or len(self.fields) > 20:
                raise wrong(piece.name[:100], f"The field `{piece.name[:100]}` is too long, or there are too many.")
            return b""
        if piece.name != "file":
            raise wrong(piece.name[:100], "The file stands in a field that is not called `file`.")
        self.name = piece.file[:200] or "batch.jsonl"
        self._count(piece.data)
        self._refuse()
        return piece.data

    def _refuse(self) -> None:
        """Lines are a batch's matter; whether it is one may be said behind the file."""
        if self.lines > MOST_LINES + 1 and self.purpose == PURPOSE:
            raise wrong("file", f"The file has more than {MOST_LINES} lines; make several of it.")

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.most:
            words = f"The file has more than {self.most} bytes (GENAI_FILE_MAX_BYTES); make several of it."
            raise Problem(413, words, param="file")
        self.lines += data.count(b"\n")

    def end(self) -> None:
        if self.purpose not in (PURPOSE, DOCUMENT):
            words = "`purpose` must be batch, or user_data for a document; files are kept for nothing else here."
            raise wrong("purpose", words)
        self._refuse()
        if not self.name:
            raise wrong("file", "`file` is missing; send the file in a field of that name.")
        if self.size == 0:
            raise wrong("file", "The file is empty; a batch has one request per line, a document its text.")


async def listed(front: Front, request: Request) -> Response:
    """Files that were uploaded, newest first: `?purpose=&after=&limit=`. Those of batches are named by their batch."""
    told = queries.told(request, ("purpose", "after", "limit", "order"))
    limit = queries.whole("limit", told.get("limit"), 100, 10_000)
    if told.get("order", "desc") != "desc":
        raise wrong("order", "`order` can only be desc: the newest stand first.")
    tenant = tenant_of(front, request)
    page = partial(files.page, tenant=tenant, purpose=told.get("purpose"), after=told.get("after"), limit=limit + 1)
    found = [batched.file(row) for row in await look_up(front.parts(), page)]
    return _json(paged(found, limit))


def paged(found: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """One more was asked for than is told."""
    told = found[:limit]
    ids = [each["id"] for each in told]
    return {
        "object": "list",
        "data": told,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": len(found) > limit,
    }


async def one(front: Front, request: Request) -> Response:
    """What a file is. That of a batch is measured by making it."""
    tenant, id_ = tenant_of(front, request), request.path_params["file_id"]
    if (made := await _made(front, tenant, id_)) is None:
        return _json(batched.file(await named(front, tenant, id_)))
    row, what = made
    size = 0
    async for each in lines_of(front, row, what):
        size += len(each)
    return _json(batched.told_file(id_, f"{row.id}_{what}.jsonl", "batch_output", size, row.ended_at))


async def content(front: Front, request: Request) -> Response:
    """What is in a file."""
    tenant, id_ = tenant_of(front, request), request.path_params["file_id"]
    made = await _made(front, tenant, id_)
    if made is None:
        await named(front, tenant, id_)
        return StreamingResponse(pieces(front, tenant, id_), media_type="application/octet-stream")
    return StreamingResponse(lines_of(front, *made), media_type="application/octet-stream")


async def delete(front: Front, request: Request) -> Response:
    """Forget a file. A batch that was made of it goes on."""
    tenant, id_ = tenant_of(front, request), request.path_params["file_id"]
    if await _made(front, tenant, id_) is None:
        await named(front, tenant, id_)
        await change(front.parts(), partial(files.drop, tenant=tenant, id_=id_))
    else:
        await change(front.parts(), partial(files.drop_made, new=files.New(tenant, id_, id_, "batch_output")))
    return _json({"id": id_, "object": "file", "deleted": True})


async def named(front: Front, tenant: str, id_: str) -> Row[Any]:
    """A file that was uploaded. Raises `Problem` 404."""
    found: Row[Any] | None = await look_up(front.parts(), partial(files.one, tenant=tenant, id_=id_))
    if found is None or found.status == files.DELETED:
        raise Problem(404, f"There is no file {id_[:200]!r}.", param="id")
    return found


async def pieces(front: Front, tenant: str, id_: str) -> AsyncIterator[bytes]:
    """What was uploaded, part by part."""
    number = 0
    while (data := await look_up(front.parts(), partial(_part, tenant=tenant, id_=id_, number=number))) is not None:
        yield data
        number += 1


def _part(conn: Any, tenant: str, id_: str, number: int) -> bytes | None:
    return files.part(conn, tenant, id_, number)


async def _made(front: Front, tenant: str, id_: str) -> tuple[Row[Any], str] | None:
    """The batch that a file is made of, and which of its files it is; None: it was uploaded. Raises `Problem` 404."""
    if (found := batched.made_of(id_)) is None:
        return None
    row, gone = await look_up(
        front.parts(), lambda conn: (read.one(conn, tenant, found[0]), files.one(conn, tenant, id_))
    )
    known = row is not None and row.kind == PURPOSE and batched.batch(row)[_FIELDS[found[1]]] == id_
    if not known or gone is not None:
        raise Problem(404, f"There is no file {id_[:200]!r}.", param="id")
    return row, found[1]


_FIELDS = {batched.OUTPUT: "output_file_id", batched.ERRORS: "error_file_id"}


async def lines_of(front: Front, row: Row[Any], what: str) -> AsyncIterator[bytes]:
    """A batch's output or errors, in the order of its input."""
    after, spine = read.FIRST, front.parts()
    while True:
        page = await look_up(spine, partial(read.items, id_=row.id, tenant=row.tenant, after=after, limit=_PAGE))
        for each in page:
            if each.body is not None and (each.state == "succeeded") == (what == batched.OUTPUT):
                index = int(each.id.rpartition("/")[2])
                told = batched.line({"id": each.id, "index": index}, orjson.loads(each.body), row.name)
                yield orjson.dumps(told) + b"\n"
        if len(page) < _PAGE:
            break
        after = page[-1].pk
    if what == batched.ERRORS:
        async for line in _never(front, row):
            yield line


async def _never(front: Front, row: Row[Any]) -> AsyncIterator[bytes]:
    """Items that were no requests yet when the batch was cancelled."""
    first = -1
    while True:
        part = await look_up(front.parts(), partial(read.part_behind, tenant=row.tenant, id_=row.id, first=first))
        if part is None:
            return
        for index, kept in enumerate(parts.lines_of(part.body), part.first):
            yield orjson.dumps(batched.never(index, kept, "batch_cancelled")) + b"\n"
        first = part.first


def _json(told: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(told), status, media_type="application/json")
