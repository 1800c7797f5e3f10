"""What a caller meets on the way: full doors, servers that are away, answers that break off. And the table of decisions."""

import json
import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from genai_spine_client import AsyncGenAIClient, Retries, errors, kafka, sse
from genai_spine_client.errors import Refusal, TooManyRequests, Unavailable, Unreachable
from genai_spine_client.retries import Again
from streams.spine import Spine
from streams.web import server
from streams.web.app import make_api
from streams.web.front import Front

TEXT = "The ferry Aurora was late on Friday. Fog lay over Bergen."
SLOWLY = Retries(base_s=2.0, cap_s=5.0, tries=4, share=lambda: 0.5)
QUICKLY = Retries(base_s=0.0)


def full(retry_after_s: float | None = None, **more: Any) -> TooManyRequests:
    return TooManyRequests(429, "overloaded", "full", retry_after_s=retry_after_s, **more)


def away(retry_after_s: float | None = None) -> Unavailable:
    return Unavailable(503, "unreachable", "away", retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("tried", "error", "again", "left_s", "pause"),
    [
        (1, Unreachable("x", sent=True), Again.ALWAYS, 60, 1.0),  # half of 2
        (2, Unreachable("x", sent=True), Again.ALWAYS, 60, 2.0),  # half of 4
        (3, Unreachable("x", sent=True), Again.ALWAYS, 60, 2.5),  # half of the cap, 8 being more than 5
        (4, Unreachable("x", sent=True), Again.ALWAYS, 60, None),  # four tries were made
        (1, Unreachable("x", sent=True), Again.ALWAYS, 0.5, None),  # no time left
        (1, Unreachable("x", sent=True), Again.UNTAKEN, 60, None),  # it may have been done
        (1, Unreachable("x", sent=False), Again.UNTAKEN, 60, 1.0),
        (1, full(7), Again.UNTAKEN, 60, 8.0),  # what was told, and half of 2 on top
        (1, full(7), Again.ALWAYS, 7.5, None),
        (1, full(7, may_help=False), Again.ALWAYS, 60, None),
        (1, full(121), Again.ALWAYS, math.inf, None),  # longer than anybody should sleep here
        (1, away(1), Again.ALWAYS, 60, 2.0),
        (1, away(1), Again.UNTAKEN, 60, None),  # it may have been taken
        (1, Refusal(500, "internal", "defect"), Again.ALWAYS, 60, None),
        (1, errors.TimedOut("x"), Again.ALWAYS, 60, None),
    ],
)
def test_when_a_call_is_made_again(
    tried: int, error: errors.GenAIError, again: Again, left_s: float, pause: float | None
) -> None:
    assert SLOWLY.pause(tried, error, again, left_s) == pause


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT"}, 0.0),
        # the server's clock is five seconds ahead of ours: its own date counts
        ({"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT", "date": "Sat, 21 Nov 2026 10:00:05 GMT"}, 4.0),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
    assert errors.retry_after(headers, now) == seconds


@pytest.mark.parametrize(
    ("status", "body", "kind", "type_", "message"),
    [
        (422, {"detail": "no", "error": {"type": "invalid_request", "message": "No."}}, "InvalidRequest", "invalid_request", "No."),
        (402, {"error": {"type": "budget_exceeded", "message": "Spent."}}, "BudgetExceeded", "budget_exceeded", "Spent."),
        (404, {"error": {"message": "m", "type": "invalid_request_error", "code": "x"}}, "NotFound", "invalid_request_error", "m"),
        (412, {"detail": "old"}, "Stale", "http_412", "old"),
        (418, {}, "InvalidRequest", "http_418", "HTTP 418 I'm a teapot: {}"),
        (502, "<html>Bad\n  Gateway", "Unavailable", "http_502", "HTTP 502 Bad Gateway: <html>Bad Gateway"),
        (500, [1], "ServerDefect", "http_500", "HTTP 500 Internal Server Error: [1]"),
    ],
)  # fmt: skip
def test_a_refusal_keeps_the_servers_words(status: int, body: Any, kind: str, type_: str, message: str) -> None:
    how = {"text": body} if isinstance(body, str) else {"json": body}
    found = errors.of_reply(httpx.Response(status, **how, headers={"x-request-id": "r1"}))
    assert isinstance(found, Refusal)
    assert (type(found).__name__, found.type, str(found), found.x_request_id, found.status) == (
        kind,
        type_,
        message,
        "r1",
        status,
    )


async def test_an_error_type_of_a_newer_server_is_told_as_it_came() -> None:
    error = {"type": "moon_phase", "message": "Full.", "details": {"phase": 4}}
    times = {"requested_at": "2026-11-21T10:00:00Z", "completed_at": "2026-11-21T10:00:01Z"}
    told = {
        "id": "a",
        "operation": "summarize",
        "tenant": "t",
        "status": "failed",
        "error": error,
        "usage": {},
        **times,
    }
    item = {"index": 0, "id": "r/0", "status": "failed", "error": error}
    transport, _ = scripted(
        lambda _: httpx.Response(500, json=told), lambda _: httpx.Response(200, json={"items": [item], "next": None})
    )
    async with AsyncGenAIClient("http://spine", transport=transport) as client:
        with pytest.raises(errors.Failed, match="Full") as raised:
            await client.summarize(TEXT)
        (found,) = [each async for each in client.runs.iter_items("r")]
    assert (raised.value.type, raised.value.details["phase"]) == ("moon_phase", 4)
    assert found.error is not None and found.error.details["newer_type"] == "moon_phase"
    read = kafka._result(json.dumps(told).encode())
    assert read is not None and read.error == raised.value.result.error


Reply = Callable[[httpx.Request], httpx.Response]


def scripted(*replies: Reply) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """Answers in this order; the last one again and again."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return replies[min(len(seen), len(replies)) - 1](request)

    return httpx.MockTransport(answer), seen


def busy(_: httpx.Request) -> httpx.Response:
    return httpx.Response(429, headers={"retry-after": "0"}, json={"error": {"type": "overloaded", "message": "full"}})


def listed(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": [], "providers": []})


def broken(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("lost")


async def test_one_key_however_often_it_is_sent() -> None:
    transport, seen = scripted(busy, broken, busy)
    async with AsyncGenAIClient("http://spine", transport=transport, retries=QUICKLY) as client:
        with pytest.raises(TooManyRequests):
            await client.summarize(TEXT)
    bodies = {request.content for request in seen}
    assert (len(seen), len(bodies), b'"idempotency_key":"client-' in bodies.pop()) == (4, 1, True)


async def test_a_change_of_a_prompt_that_may_have_been_made_is_not_made_again() -> None:
    transport, seen = scripted(broken)
    async with AsyncGenAIClient("http://spine", transport=transport, retries=QUICKLY) as client:
        with pytest.raises(Unreachable, match="lost"):
            await client.prompts.move("p", "production", 1, why="x")
        assert len(seen) == 1
        with pytest.raises(Unreachable):
            await client.prompts.get("p")
    assert len(seen) == 5


async def test_a_look_is_taken_again_and_the_key_is_sent() -> None:
    transport, seen = scripted(broken, busy, listed)
    async with AsyncGenAIClient("http://spine", api_key="k", transport=transport, retries=QUICKLY) as client:
        assert (await client.models()).data == []
    assert {request.headers["authorization"] for request in seen} == {"Bearer k"}


async def test_lines_end_at_line_feeds_alone() -> None:
    """JSON may hold other separators as they are."""
    item = {"index": 0, "id": "r/0", "status": "succeeded", "output": {"summary": "a\u2028b\x85c"}}
    lines = (json.dumps(item, ensure_ascii=False) + "\r\n").encode() * 2 + json.dumps(item).encode()
    transport, _ = scripted(lambda _: httpx.Response(200, content=lines))
    async with AsyncGenAIClient("http://spine", transport=transport) as client:
        found = [each.output async for each in client.runs.results("r")]
    cut = sse.Lines()
    pieces = [line for n in range(len(lines)) for line in cut.feed(lines[n : n + 1])] + cut.rest()
    assert found == [item["output"]] * 3
    assert [json.loads(line) for line in pieces] == [item] * 3


async def test_an_address_without_its_scheme_is_named() -> None:
    with pytest.raises(ValueError, match="write it as http://host:8100"):
        AsyncGenAIClient("spine:8100")


async def test_another_program_there_is_named() -> None:
    transport, _ = scripted(lambda _: httpx.Response(200, text="hello"))
    async with AsyncGenAIClient("http://spine", transport=transport) as client:
        with pytest.raises(errors.Unreadable, match="is it a GenAI Spine"):
            await client.models()


async def test_nobody_there() -> None:
    async with AsyncGenAIClient("http://127.0.0.1:1", retries=QUICKLY) as client:
        with pytest.raises(Unreachable, match=r"No answer at http://127\.0\.0\.1:1/v1/models"):
            await client.models()


class Breaking:
    """In front of a real spine: the first answers are lost half-way, after the work was done."""

    def __init__(self, app: Any, path: str, times: int) -> None:
        self.app, self.path, self.left = app, path, times

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        spoil = scope["type"] == "http" and scope["path"] == self.path and self.left > 0
        self.left -= spoil

        async def halved(message: Any) -> None:
            if message["type"] == "http.response.body" and len(message["body"]) > 1:
                await send({**message, "body": message["body"][:20], "more_body": True})
                raise ConnectionResetError("lost on the way")
            await send(message)

        await self.app(scope, receive, halved if spoil else send)


@pytest.fixture
async def breaking(parts: tuple[Front, Spine]) -> AsyncIterator[Callable[[str, int], Any]]:
    doors: list[Any] = []

    async def opened(path: str, times: int) -> AsyncGenAIClient:
        sock = server.bind("127.0.0.1", 0, "GENAI_API_PORT")
        door = server.serving(Breaking(make_api(parts[0]), path, times), sock)
        await door.__aenter__()
        client = AsyncGenAIClient(server.address(sock), retries=Retries(base_s=0.01), timeout=20)
        doors.extend([client, door])
        return client

    yield opened
    for door in doors:
        await door.__aexit__(None, None, None)


async def test_an_answer_that_breaks_off_is_asked_for_again_and_the_model_is_called_once(
    parts: tuple[Front, Spine], breaking: Callable[[str, int], Any]
) -> None:
    client = await breaking("/v1/summarize", 2)
    answer = await client.summarize(TEXT)
    counts = parts[1].providers["fake"].counts.total  # type: ignore[attr-defined]
    assert (answer.output.summary != "", counts.started) == (True, 1)


async def test_a_run_whose_answer_breaks_off_is_one_run(breaking: Callable[[str, int], Any]) -> None:
    client = await breaking("/v1/runs", 1)
    run = await client.runs.submit("task", "summarize", {"text": TEXT})
    assert [each.run_id async for each in client.runs.list()] == [run.run_id]


async def test_a_stream_of_events_that_breaks_off_is_gone_on_with(breaking: Callable[[str, int], Any]) -> None:
    client = await breaking("/v1/requests/slow/events", 1)
    with pytest.raises(errors.TimedOut):
        await client.summarize(f"{TEXT} [fake:sleep:0.5]", id="slow", timeout=0.1)
    kinds = [event.event async for event in client.requests.events("slow")]
    assert kinds[-1] == "result"


@pytest.mark.parametrize(
    ("lines", "words", "problem"),
    [
        (['data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}', "", "data: [DONE]", ""], "Hi", None),
        (['data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}', ""], "Hi", "without its end"),
        ([": hello", "", 'data: {"error":{"message":"It fell over.","type":"server_error","code":"timeout"}}', ""], "", "fell over"),
    ],
)  # fmt: skip
async def test_a_chat_is_read_to_its_end_or_says_why_not(lines: list[str], words: str, problem: str | None) -> None:
    transport, _ = scripted(lambda _: httpx.Response(200, text="\n".join(lines) + "\n"))
    heard = ""
    async with AsyncGenAIClient("http://spine", transport=transport) as client:
        try:
            async for chunk in client.stream_chat([{"role": "user", "content": "Hi"}], model="m"):
                heard += chunk.text
        except errors.BrokenOff as error:
            assert problem is not None and problem in str(error)
        else:
            assert problem is None
    assert heard == words
