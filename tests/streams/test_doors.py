"""Bad input, by the line, at every door: each refuses in its own shape, with a sentence that says what to do, and goes on."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from store import keys as rows
from tests.providers.test_images import data_url, png
from tests.streams.test_web_keys import made
from tests.streams.webs import client, opened, web_settings

HELLO = {"role": "user", "content": "Hello"}
BOMB = data_url(png(50_000, 50_000))
PICTURE = [{"type": "image_url", "image_url": {"url": BOMB}}]
SOURCE = {"type": "base64", "media_type": "image/png", "data": BOMB.partition(",")[2]}


@dataclass(frozen=True)
class Door:
    """`flat`: options stand beside the input. What is said differently in its words: `empty`, `mixed`, `bomb`."""

    path: str
    good: Mapping[str, Any]
    empty: Mapping[str, Any]
    mixed: Mapping[str, Any]
    bomb: Mapping[str, Any] = field(default_factory=dict)
    chats: bool = True

    @property
    def shape(self) -> str:
        if self.path == "/v1/messages":
            return "anthropic"
        return "openai" if "model" in self.good else "ours"

    def body(self, **more: Any) -> dict[str, Any]:
        told = more if self.shape != "ours" else {"options": more}
        return {**self.good, **told} if more else dict(self.good)


CHAT = Door(
    "/v1/chat/completions",
    {"model": "fake", "messages": [HELLO]},
    {"messages": []},
    {"prompt": "Hello"},
    {"messages": [{"role": "user", "content": PICTURE}]},
)
OLD = Door("/v1/completions", {"model": "fake", "prompt": "Hello"}, {"prompt": ""}, {"messages": [HELLO]})
EMBEDDINGS = Door(
    "/v1/embeddings", {"model": "fake-embed", "input": "Hello"}, {"input": []}, {"messages": [HELLO]}, chats=False
)
MESSAGES = Door(
    "/v1/messages",
    {"model": "fake", "max_tokens": 9, "messages": [HELLO]},
    {"messages": []},
    {"response_format": {"type": "json_object"}},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": SOURCE}]}]},
)
COMPLETE = Door(
    "/v1/complete",
    {"prompt": "Hello"},
    {"prompt": ""},
    {"messages": [HELLO]},
    {"prompt": None, "messages": [{"role": "user", "content": PICTURE}]},
)
SUMMARIZE = Door("/v1/summarize", {"content": "Hello"}, {"content": " "}, {"input": {"content": "Other"}})
EMBED = Door("/v1/embed", {"texts": ["Hello"]}, {"texts": []}, {"content": "Hello"}, chats=False)
DOORS = (CHAT, OLD, EMBEDDINGS, MESSAGES, COMPLETE, SUMMARIZE, EMBED)
STATUS = {"openai": 400, "anthropic": 400, "ours": 422}
"""Of a body that is read and makes no sense."""

Sent = tuple[bytes, dict[str, str]]
NOTHING: dict[str, str] = {}


def sent(body: Any, **headers: str) -> Sent:
    return orjson.dumps(body), {name.replace("_", "-"): value for name, value in headers.items()}


def bad(door: Door) -> dict[str, tuple[Sent, int, str]]:
    """By the line of the table: what is sent, the status, and what is said."""
    wrong = STATUS[door.shape]
    other = "fake" if not door.chats else "fake-embed"
    found = {
        "unknown model": (sent(door.body(model="fakee")), 404, "Did you mean fake"),
        "a capability that it lacks": (sent(door.body(model=other)), wrong, "cannot do"),
        "oversize": (sent({**door.good, "user": "x" * 9000}), 413, "at most 9000 bytes"),
        "no UTF-8": ((b'{"model": "\xff"}', NOTHING), 400, "not UTF-8 (byte 11)"),
        "deep": ((b'{"a": ' + b"[" * 4000 + b"]" * 4000 + b"}", NOTHING), 400, "too deep"),
        "empty": (sent({**door.good, **door.empty}), wrong, ""),
        "both shapes": (sent({**door.good, **door.mixed}), wrong, ""),
        "a line break in the model": (sent(door.body(model="fake\r\nset-cookie: a=b")), wrong, "control character"),
    }
    if door.chats:
        found["max_tokens"] = (sent(door.body(max_tokens=100_000)), wrong, "100000; `fake` holds at most 8192 tokens")
        found["temperature"] = (sent(door.body(temperature=-1)), wrong, "greater than or equal to 0")
    if door.bomb:
        found["image bomb"] = (sent({**door.good, **door.bomb}), wrong, "50000 x 50000 pixels")
    if door.shape != "ours":
        found["n and stream"] = (sent({**door.good, "stream": True, "n": 2}), wrong, "`")
    return found


TABLE = [(door, line) for door in DOORS for line in bad(door)]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(web_settings(tmp_path, request_max_bytes=9000)) as (front, _), client(front) as made_:
        made_.headers["content-type"] = "application/json"
        yield made_


def refusal(door: Door, reply: httpx.Response) -> str:
    """Its sentence, if it has the shape of its door."""
    told = reply.json()
    if door.shape == "openai":
        assert told.keys() == {"error"} and told["error"].keys() == {"message", "type", "param", "code"}, told
        return str(told["error"]["message"])
    if door.shape == "anthropic":
        assert told.keys() == {"type", "error", "request_id"} and told["error"].keys() == {"type", "message"}, told
        assert told["type"] == "error"
        return str(told["error"]["message"])
    if reply.headers["content-type"] == "application/problem+json":
        assert {"type", "title", "status", "detail", "error"} <= told.keys(), told
        assert told["status"] == reply.status_code
    else:
        assert (told["status"], told["usage"]["calls"], told["output"]) == ("failed", 0, None), told
    return str(told["error"]["message"])


async def test_every_line_of_the_table_at_every_door(api: httpx.AsyncClient) -> None:
    missed = []
    for door, line in TABLE:
        (body, headers), status, says = bad(door)[line]
        reply = await api.post(door.path, content=body, headers=headers)
        words = refusal(door, reply)
        if (reply.status_code, says in words, "set-cookie" in reply.headers) != (status, True, False):
            missed.append((door.path, line, reply.status_code, words))
    assert missed == []
    assert [(await api.post(door.path, json=door.body())).status_code for door in DOORS] == [200] * len(DOORS)


INJECTED = b"x\r\nset-cookie: a=b"
HEADERS = (
    "x-request-id",
    "idempotency-key",
    "x-genai-tenant",
    "x-genai-lane",
    "genai-id",
    "genai-tenant",
    "traceparent",
)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.path)
async def test_no_header_gets_out_that_somebody_wrote_into_another(api: httpx.AsyncClient, door: Door) -> None:
    for name in HEADERS:
        reply = await api.post(door.path, json=door.body(), headers={name.encode(): INJECTED})  # type: ignore[dict-item]
        assert reply.status_code < 500, name
        if not reply.is_success:
            refusal(door, reply)
        assert not any("set-cookie" in text for text in (*reply.headers, *reply.headers.values())), name
        assert all(char not in value for value in reply.headers.values() for char in "\r\n"), name


async def test_keys_at_every_door(tmp_path: Path) -> None:
    """None, one that nobody made, a revoked one, one of another tenant, one for other models."""
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        foreign, _ = await made(spine, tenant="t")
        narrow, _ = await made(spine, models=["openai/*"])
        revoked, id_ = await made(spine)
        await spine.database.write(lambda conn: rows.revoke(conn, id_))
        await front.keys.look(spine.database)
        told = []
        for door in DOORS:
            for key, status, says in (
                (None, 401, "needs a key"),
                ("sk-nobodys", 401, "Nobody has made"),
                (revoked, 401, "was revoked"),
                (foreign, 403, "'t'"),
                (narrow, 403, "openai/*"),
            ):
                headers = {} if key is None else {"x-api-key": key}
                body = door.body()
                if key == foreign:
                    headers |= {"x-genai-tenant": "other"}
                    body |= {"tenant": "other"} if door.shape == "ours" else {}
                reply = await api.post(door.path, json=body, headers=headers)
                words = refusal(door, reply)
                if (reply.status_code, says in words) != (status, True) or (key and key in reply.text):
                    told.append((door.path, says, reply.status_code, words))
    assert told == []


async def test_a_budget_of_zero_at_every_door(api: httpx.AsyncClient) -> None:
    """Nothing that costs anything gets through, and nothing is paid; what is free does."""
    assert (await api.put("/v1/budgets", json={"tenant": "default", "limit_usd": 0, "per": "total"})).is_success
    paid = [door for door in DOORS if door.chats]
    replies = [await api.post(door.path, json=door.body()) for door in paid]
    words = [refusal(door, reply) for door, reply in zip(paid, replies, strict=True)]
    statuses = {(door.shape, reply.status_code) for door, reply in zip(paid, replies, strict=True)}
    assert statuses == {("openai", 429), ("anthropic", 402), ("ours", 402)}
    assert all("has 0.000000 dollars left" in each for each in words), words
    assert (await api.get("/v1/costs")).json()["totals"]["calls"] == 0
