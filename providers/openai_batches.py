"""OpenAI's batches: a file of calls is uploaded, a batch is made of it, and its answers lie in two other files.

Our marker is in the batch's `metadata`, which its list shows. From OpenAI's guide "Batch API" and its API reference (November
2026): one model a file, at most 50,000 calls and 200 MB, a window of 24 hours.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from providers import able, http, images, openai_errors, openai_wire
from providers.base import Able
from providers.batches import Bounds, Forgotten, Parcel, Returned, Standing
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind, Spent
from providers.errors import Unreadable, Unsupported

MARKER = "genai_spine"
"""The key of our marker in a batch's `metadata`."""

_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_AGAIN = frozenset({429, 500, 502, 503, 504, 529})
"""Statuses of single calls that say nothing against the call."""
_PATHS: Mapping[Kind, str] = {"chat": "/v1/chat/completions", "embed": "/v1/embeddings"}
_ASK_S = 30.0
_FETCH_S = 600.0
_SLACK_S = 3600.0
"""By which its clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class At:
    """What the provider knows of its servers. `able`: what a model can do; `asked`: for the words of a refusal.

    `fetches`: it is OpenAI itself, which may be given pictures by URL.
    """

    using: http.Client
    nodes: Mapping[str, http.Address]
    headers: Mapping[str, str]
    max_name: str
    able: Callable[[str], Able]
    asked: Callable[[str, ChatCall | EmbedCall], openai_errors.Asked]
    secret: str
    fetches: bool = True


class OpenAIBatches:
    """The port's `Batches`."""

    bounds = Bounds(items=50_000, bytes=190_000_000)

    def __init__(self, at: At) -> None:
        self._at = at

    def takes(self, kind: Kind) -> bool:
        return kind in _PATHS

    def item(self, call: ChatCall | EmbedCall) -> bytes:
        known = self._at.able(call.model)
        able.check(call, known)
        if isinstance(call, EmbedCall):
            return openai_wire.embed_body(call, packed=True)
        if known.chat is False:
            raise Unsupported(f"`{call.model}` does not chat. Name another model.")
        if not self._at.fetches:
            images.check_near(call)
        whole = replace(call, on_tokens=None, on_delta=None)
        return openai_wire.chat_body(whole, streamed=False, max_name=self._at.max_name)

    def read(self, body: bytes, call: ChatCall | EmbedCall, node: str) -> ChatAnswer | EmbedAnswer:
        status, answer = _unpacked(body)
        if status != httpx.codes.OK:
            raise openai_errors.refusal(httpx.Response(status, content=answer), self._at.asked(node, call), _now())
        if isinstance(call, EmbedCall):
            vectors = openai_wire.read_embed(answer, call, node)
            return replace(vectors, spent=replace(vectors.spent, tier="batch"))
        said = openai_wire.read_chat(answer, call, node)
        return replace(said, spent=replace(said.spent, tier="batch"))

    def spent(self, body: bytes) -> Spent | None:
        status, answer = _unpacked(body)
        known = openai_wire.known_spent(orjson.loads(answer)) if status == httpx.codes.OK else None
        return None if known is None else replace(known, tier="batch")

    async def submit(self, parcel: Parcel, node: str, timeout_s: float) -> Standing:
        file = await self._upload(parcel, node, timeout_s)
        told = {
            "input_file_id": file,
            "endpoint": _PATHS[parcel.kind],
            "completion_window": "24h",
            "metadata": {MARKER: parcel.marker},
        }
        more = {"idempotency-key": parcel.marker}
        return _standing(await self._json("POST", "/batches", node, orjson.dumps(told), timeout_s, more))

    async def _upload(self, parcel: Parcel, node: str, timeout_s: float) -> str:
        """A file that no batch was made of goes by itself: OpenAI keeps such files for thirty days."""
        body, kind = _form(parcel)
        told = await self._json("POST", "/files", node, body, timeout_s, {"content-type": kind})
        return str(told.get("id"))

    async def find(self, parcel: Parcel, since: float, node: str) -> Sequence[Standing]:
        found = []
        async for told in self._newest(since - _SLACK_S, node):
            metadata = told.get("metadata")
            if isinstance(metadata, dict) and metadata.get(MARKER) == parcel.marker:
                found.append(_standing(told))
        return found[::-1]

    async def _newest(self, since: float, node: str) -> Any:
        """The batches that were made since then, the newest first."""
        after = ""
        while True:
            page = await self._json("GET", f"/batches?limit=100{after}", node)
            data = [each for each in page.get("data") or () if isinstance(each, dict)]
            for told in data:
                if isinstance(made := told.get("created_at"), int | float) and made < since:
                    return
                yield told
            if not page.get("has_more") or not data:
                return
            after = f"&after={quote(str(data[-1].get('id')), safe='')}"

    async def look(self, id_: str, node: str) -> Standing:
        return _standing(await self._json("GET", f"/batches/{quote(id_, safe='')}", node))

    async def results(self, standing: Standing, node: str) -> Sequence[Returned]:
        told = await self._json("GET", f"/batches/{quote(standing.id, safe='')}", node)
        found: list[Returned] = []
        for name in ("output_file_id", "error_file_id"):
            if file := told.get(name):
                reply = await self._send("GET", f"/files/{quote(str(file), safe='')}/content", node, None, _FETCH_S)
                found += _lines(reply.content, node)
        return found

    async def stop(self, id_: str, node: str) -> None:
        await self._json("POST", f"/batches/{quote(id_, safe='')}/cancel", node)

    async def tidy(self, standing: Standing, node: str) -> None:
        for file in standing.files:
            await self._send("DELETE", f"/files/{quote(file, safe='')}", node, None, _ASK_S)

    async def _json(
        self,
        method: str,
        path: str,
        node: str,
        body: bytes | None = None,
        timeout_s: float = _ASK_S,
        more: Mapping[str, str] = {},
    ) -> dict[str, Any]:
        reply = await self._send(method, path, node, body, timeout_s, more)
        return _object(reply.content, node)

    async def _send(
        self,
        method: str,
        path: str,
        node: str,
        body: bytes | None,
        timeout_s: float,
        more: Mapping[str, str] = {},
    ) -> httpx.Response:
        """Raises the refusal of any status but 200, and Forgotten for 404 of something that is asked for by name."""
        address = self._at.nodes[node]
        headers = {"content-type": "application/json", **self._at.headers, **address.headers, **more}
        reply = await http.send(
            self._at.using, method, address.base + path, timeout_s=timeout_s, content=body, headers=headers
        )
        if reply.status_code == httpx.codes.OK:
            return reply
        if reply.status_code == httpx.codes.NOT_FOUND and path.count("/") > 1:
            raise Forgotten(path)
        asked = openai_errors.Asked(node, "", 0, secret=self._at.secret)
        raise openai_errors.refusal(reply, asked, _now())


def _now() -> datetime:
    return datetime.now(UTC)


def _object(body: bytes, who: str) -> dict[str, Any]:
    """A file, a batch, or a list of them."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"{who} answered what is not JSON ({error}): {openai_wire.quoted(body)}") from None
    if not isinstance(told, dict) or (not told.get("id") and "data" not in told):
        raise Unreadable(f"{who} answered neither a batch nor a list of them: {openai_wire.quoted(body)}")
    return told


def _standing(told: Mapping[str, Any]) -> Standing:
    errors = told.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    words = [str(each.get("message")) for each in data or () if isinstance(each, dict)]
    names = ("input_file_id", "output_file_id", "error_file_id")
    files = tuple(str(told[name]) for name in names if told.get(name))
    return Standing(str(told.get("id")), told.get("status") in _ENDED, why="; ".join(words)[:500], files=files)


def _form(parcel: Parcel) -> tuple[bytes, str]:
    """`multipart/form-data` with the purpose and the file, and its content type."""
    lines = b"\n".join(
        orjson.dumps({"custom_id": id_, "method": "POST", "url": _PATHS[parcel.kind], "body": orjson.Fragment(body)})
        for id_, body in parcel.items
    )
    edge = f"----{parcel.marker}".encode()
    name = f"{parcel.marker}.jsonl".encode()
    body = b"".join(
        (
            b"--" + edge + b'\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
            b"--" + edge + b'\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n',
            b"Content-Type: application/jsonl\r\n\r\n" + lines + b"\n\r\n--" + edge + b"--\r\n",
        )
    )
    return body, f"multipart/form-data; boundary={edge.decode()}"


def _lines(content: bytes, who: str) -> Iterator[Returned]:
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            told = orjson.loads(line)
            id_ = str(told["custom_id"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise Unreadable(f"{who} gave a line of a batch that is none: {openai_wire.quoted(line)}") from None
        yield _returned(id_, told)


def _returned(id_: str, told: Mapping[str, Any]) -> Returned:
    response, error = told.get("response"), told.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(status, int) or status in _AGAIN:
        inner = response.get("body") if isinstance(response, dict) else None
        said = error or (inner.get("error") if isinstance(inner, dict) else None) or "the provider did not run it"
        return Returned(id_, None, openai_wire.said(said))
    return Returned(id_, orjson.dumps([status, response.get("body")]))


def _unpacked(body: bytes) -> tuple[int, bytes]:
    status, answer = orjson.loads(body)
    return int(status), orjson.dumps(answer)
