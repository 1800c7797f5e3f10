"""Anthropic's Message Batches: the calls are the body, and the results a file of lines.

They have no room for a marker, and their list does not say which calls a batch holds: one that was made since we began to hand
ours over and that holds as many may be it, and its results prove it, which name our calls. From Anthropic's API reference
(November 2026): at most 100,000 calls and 256 MB, within 24 hours.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from providers import anthropic_reply, anthropic_wire, http, images
from providers.batches import Bounds, Forgotten, Parcel, Returned, Standing
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind, Spent
from providers.claude import Claude
from providers.errors import Unreadable, Unsupported

_PATH = "/v1/messages/batches"
_ASK_S = 30.0
_FETCH_S = 600.0
_SLACK_S = 300.0
"""By which its clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class At:
    """What the provider knows of its server. `fetches`: it is Anthropic itself, which may be given pictures by URL."""

    using: http.Client
    base: str
    headers: Mapping[str, str]
    known: Callable[[str], Claude]
    fetches: bool = True


class AnthropicBatches:
    """The port's `Batches`."""

    bounds = Bounds(items=100_000, bytes=240_000_000)

    def __init__(self, at: At) -> None:
        self._at = at

    def takes(self, kind: Kind) -> bool:
        return kind == "chat"

    def item(self, call: ChatCall | EmbedCall) -> bytes:
        if isinstance(call, ChatCall) and not self._at.fetches:
            images.check_near(call)
        return self._sent(call).encoded()

    def _sent(self, call: ChatCall | EmbedCall) -> anthropic_wire.Sent:
        if isinstance(call, EmbedCall):
            raise Unsupported("Anthropic has no embeddings.", {"fields": ["model"]})
        return anthropic_wire.chat(replace(call, on_tokens=None, on_delta=None), self._at.known(call.model))

    def read(self, body: bytes, call: ChatCall | EmbedCall, node: str) -> ChatAnswer | EmbedAnswer:
        result = orjson.loads(body)
        if result["type"] == "succeeded":
            answer = anthropic_reply.answer(result["message"], self._sent(call))
            return replace(answer, spent=replace(answer.spent, tier="batch"))
        reply = httpx.Response(httpx.codes.BAD_REQUEST, content=orjson.dumps(result["error"]))
        raise anthropic_reply.refusal(reply, node, call.model)

    def spent(self, body: bytes) -> Spent | None:
        message = orjson.loads(body).get("message")
        used = message.get("usage") if isinstance(message, dict) else None
        return replace(anthropic_reply.spent(used), tier="batch") if isinstance(used, dict) else None

    async def submit(self, parcel: Parcel, node: str, timeout_s: float) -> Standing:
        calls = [{"custom_id": id_, "params": orjson.Fragment(body)} for id_, body in parcel.items]
        more = {"idempotency-key": parcel.marker}
        return _standing(
            await self._json("POST", _PATH, node, orjson.dumps({"requests": calls}), timeout_s, more), proven=True
        )

    async def find(self, parcel: Parcel, since: float, node: str) -> Sequence[Standing]:
        newest = [told async for told in self._newest(since - _SLACK_S, node)]
        size = len(parcel.items)
        return [_standing(told, proven=False) for told in reversed(newest) if _size(told) == size]

    async def _newest(self, since: float, node: str) -> AsyncIterator[dict[str, Any]]:
        """The batches that were made since then, the newest first."""
        after = ""
        while True:
            page = await self._json("GET", f"{_PATH}?limit=1000{after}", node)
            data = [each for each in page.get("data") or () if isinstance(each, dict)]
            for told in data:
                if (made := _moment(told.get("created_at"))) is not None and made < since:
                    return
                yield told
            if not page.get("has_more") or not data:
                return
            after = f"&after_id={quote(str(page.get('last_id')), safe='')}"

    async def look(self, id_: str, node: str) -> Standing:
        return _standing(await self._json("GET", f"{_PATH}/{quote(id_, safe='')}", node), proven=True)

    async def results(self, standing: Standing, node: str) -> Sequence[Returned]:
        reply = await self._send("GET", f"{_PATH}/{quote(standing.id, safe='')}/results", node, None, _FETCH_S)
        return list(_lines(reply.content))

    async def stop(self, id_: str, node: str) -> None:
        await self._json("POST", f"{_PATH}/{quote(id_, safe='')}/cancel", node)

    async def tidy(self, standing: Standing, node: str) -> None:
        await self._send("DELETE", f"{_PATH}/{quote(standing.id, safe='')}", node, None, _ASK_S)

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
        try:
            told = orjson.loads(reply.content)
        except orjson.JSONDecodeError as error:
            raise Unreadable(f"{node} answered what is not JSON ({error}).") from None
        if not isinstance(told, dict) or (not told.get("id") and "data" not in told):
            raise Unreadable(f"{node} answered neither a batch nor a list of them.")
        return told

    async def _send(
        self,
        method: str,
        path: str,
        node: str,
        body: bytes | None,
        timeout_s: float,
        more: Mapping[str, str] = {},
    ) -> httpx.Response:
        """Raises the refusal of any status but 200, and Forgotten for 404 of a batch that is asked for by name."""
        headers = {**self._at.headers, **more}
        url = self._at.base + path
        reply = await http.send(self._at.using, method, url, timeout_s=timeout_s, content=body, headers=headers)
        if reply.status_code == httpx.codes.OK:
            return reply
        if reply.status_code == httpx.codes.NOT_FOUND and path.startswith(f"{_PATH}/"):
            raise Forgotten(path)
        raise anthropic_reply.refusal(reply, node, "")


def _standing(told: Mapping[str, Any], *, proven: bool) -> Standing:
    return Standing(str(told.get("id")), told.get("processing_status") == "ended", proven)


def _size(told: Mapping[str, Any]) -> int:
    counts = told.get("request_counts")
    return sum(each for each in counts.values() if isinstance(each, int)) if isinstance(counts, dict) else 0


def _moment(told: Any) -> float | None:
    try:
        return datetime.fromisoformat(told).timestamp()
    except (TypeError, ValueError):
        return None


def _lines(content: bytes) -> Iterator[Returned]:
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            told = orjson.loads(line)
            id_, result = str(told["custom_id"]), told["result"]
            kind = result["type"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise Unreadable("Anthropic gave a line of a batch that is none.") from None
        yield Returned(id_, orjson.dumps(result)) if _is_said(result, kind) else Returned(id_, None, _why(result, kind))


def _is_said(result: Mapping[str, Any], kind: str) -> bool:
    """An answer, or a refusal that would be the same again."""
    return kind == "succeeded" or (
        kind == "errored" and _error(result).get("type") not in {"api_error", "overloaded_error"}
    )


def _why(result: Mapping[str, Any], kind: str) -> str:
    words = {"expired": "the batch expired before it was run", "canceled": "the batch was cancelled before it was run"}
    return words.get(kind) or str(_error(result).get("message") or "the provider did not run it")


def _error(result: Mapping[str, Any]) -> Mapping[str, Any]:
    outer = result.get("error")
    inner = outer.get("error") if isinstance(outer, dict) else None
    return inner if isinstance(inner, dict) else {}
