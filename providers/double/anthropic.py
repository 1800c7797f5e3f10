"""Anthropic's format: `/v1/messages`, streamed as server-sent events where asked, and its list of models.

As strict as the real one where a careless caller is caught: a key and a version, `max_tokens`, no unknown field, no empty text,
results only of tools that were called, and no temperature or forced tool for models that refuse them.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from providers.calls import Kind, Tool
from providers.double import answers, replies
from providers.double.faults import Plan
from providers.double.http1 import Request, Response
from providers.double.wire import Asked, Refusal, Said, Shelf, Spoilt, retry_headers

MODELS: dict[str, tuple[bool, bool]] = {
    "claude-sonnet-5-5": (False, False),
    "claude-haiku-5-5": (False, True),
    "claude-haiku-4-5": (True, True),
    "claude-opus-4-1": (True, True),
}
"""Whether a model takes a temperature, and a forced tool. The double's own models take both."""

_SSE = "text/event-stream; charset=utf-8"
_FIELDS = frozenset(
    [
        *("model", "messages", "max_tokens", "system", "metadata", "output_config", "service_tier", "stop_sequences"),
        *("stream", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p"),
    ]
)
_COUNTED = frozenset(["model", "messages", "system", "output_config", "thinking", "tool_choice", "tools"])
THOUGHT = "Let me look at this closely."
_WHY = "This request was refused by a policy."
_FAULTS = {
    "unreachable": (529, "overloaded_error", "Overloaded"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "rate_limited": (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    "rate_limited_date": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "rejected": (400, "invalid_request_error", "messages.0.content.0.text: Input should be a valid string"),
    "model_not_found": (404, "not_found_error", "model: fake"),
    "context_too_long": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "unsupported": (400, "invalid_request_error", "`temperature` is deprecated for this model."),
    "refused": (401, "authentication_error", "invalid x-api-key"),
    "quota": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "server_error": (500, "api_error", "Internal server error"),
}


class Anthropic:
    """A `Wire`."""

    def kind(self, path: str) -> Kind | None:
        return "chat" if path == "/v1/messages" else None

    def page(self, request: Request, shelf: Shelf) -> Response | None:
        if (request.method, request.path) == ("POST", "/v1/messages/count_tokens"):
            return self._count(request, shelf)
        if (request.method, request.path) != ("GET", "/v1/models") or "anthropic-version" not in request.headers:
            return None
        try:
            _check_headers(request)
        except Refusal as refusal:
            return refusal.response
        data = [_described(name, shelf) for name in (*MODELS, *shelf.models)]
        listed = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return Response(orjson.dumps(listed), kind="application/json")

    def _count(self, request: Request, shelf: Shelf) -> Response:
        """The words of the prompt, as `usage` of its answer would tell them."""
        try:
            asked = self._read(request, shelf, {"max_tokens": 1})
        except Refusal as refusal:
            return refusal.response
        return Response(orjson.dumps({"input_tokens": answers.count(asked.texts)}), kind="application/json")

    def read(self, request: Request, shelf: Shelf) -> Asked:
        if request.method != "POST":
            raise _refused(405, "invalid_request_error", "Method Not Allowed")
        return self._read(request, shelf, {})

    def _read(self, request: Request, shelf: Shelf, more: dict[str, Any]) -> Asked:
        _check_headers(request)
        try:
            body = orjson.loads(request.body)
            if more and (unknown := sorted(set(body) - _COUNTED)):
                raise _invalid(f"{unknown[0]}: Extra inputs are not permitted")
            body |= more
            _check(body, shelf)
            texts = (*_system(body), *(text for turn in body["messages"] for text in _texts(turn["content"])))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise _invalid(f"The request body is not valid: {type(error).__name__}") from None
        if (length := answers.count(texts)) > shelf.context_tokens:
            raise _invalid(f"prompt is too long: {length} tokens > {shelf.context_tokens} maximum")
        return Asked(self, "chat", body["model"], texts, body, body.get("stream") is True)

    def answer(self, asked: Asked, fate: Plan, shelf: Shelf, load_s: float) -> Said:  # noqa: ARG002 - the protocol's
        blocks, ended, tokens = made(asked, fate, shelf)
        thoughts = len(THOUGHT.split()) if fate.reasoning else 0
        if thoughts:
            blocks.insert(0, {"type": "thinking", "thinking": THOUGHT, "signature": "EqQBCgIYAhIM"})
        used = {
            "input_tokens": answers.count(asked.texts),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": tokens + thoughts,
            "output_tokens_details": {"thinking_tokens": thoughts},
        }
        stop = {"stop_reason": ended, "stop_sequence": None} | (
            {"stop_details": {"type": "refusal", "category": "cyber", "explanation": _WHY}} if fate.refusal else {}
        )
        message = _message(asked.model, used)
        if not asked.streamed:
            return Said((orjson.dumps(message | {"content": blocks} | stop),), "application/json")
        return Said(tuple(_events(message, blocks, stop, used)), _SSE, opening=4)

    def failure(self, fate: Plan) -> Response:
        if fate.fault not in _FAULTS:
            return Response(b"404 page not found", 404, "text/plain")
        status, kind, words = _FAULTS[fate.fault]
        return _error(status, kind, words, retry_headers(fate))

    def spoilt(self, asked: Asked, how: Spoilt, said: Said) -> Response:
        failed = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        match how:
            case "broken json" if asked.streamed:
                return Response(
                    said.pieces[0] + b'event: content_block_start\ndata: {"type":"content_bl\n\n', kind=_SSE
                )
            case "broken json":
                return Response(b'{"id":"msg_01","type":"message","content":[{"type":"text","text":"The')
            case "empty" if asked.streamed:
                nothing = {"output_tokens": 0}
                message = _message(asked.model, nothing)
                return Response(b"".join(_events(message, [], {"stop_reason": "end_turn"}, nothing)), kind=_SSE)
            case "empty":
                return Response(orjson.dumps(_message(asked.model, {"output_tokens": 0}) | {"stop_reason": "end_turn"}))
            case "failed midway" if asked.streamed:
                kept = b"".join(said.pieces[: len(said.pieces) // 2])
                return Response(kept + _event("error", failed), kind=_SSE)
        return _error(500, "api_error", "Internal server error")


def made(asked: Asked, fate: Plan, shelf: Shelf) -> tuple[list[dict[str, Any]], str, int]:
    """The blocks, why they end, and the tokens in them. It calls a tool only where it must."""
    body = asked.body
    if fate.refusal:
        return [], "refusal", 0
    choice = body.get("tool_choice") or {}
    forced = choice.get("type") in ("any", "tool")
    tools = _tools(body, choice, asked.texts)
    if forced and tools and tools[0].name == "answer":
        return _answered(asked, tools[0], fate, shelf)
    calls = answers.tool_calls(tools, asked.texts, shelf.seed, _wanted(body, choice, fate, asked.texts))
    if calls:
        blocks = [
            {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": orjson.loads(call.arguments)}
            for call in calls
        ]
        return blocks, "tool_use", sum(len(call.arguments.split()) for call in calls)
    said = _worded(asked, ((body.get("output_config") or {}).get("format") or {}).get("schema"), fate, shelf)
    ended = "refusal" if fate.filtered else "max_tokens" if said.cut else "end_turn"
    return [{"type": "text", "text": said.text}], ended, said.tokens


def _tools(body: dict[str, Any], choice: dict[str, Any], texts: tuple[str, ...]) -> list[Tool]:
    """Those that may be asked for: the one that is forced, else those that `[fake:tool:NAME]` names, else all."""
    told = {each["name"]: _tool(each) for each in body.get("tools") or ()}
    names = [choice["name"]] if "name" in choice else _named(texts) or list(told)
    return [told[name] for name in names if name in told]


def _named(texts: tuple[str, ...]) -> list[str]:
    return replies.TOOL.findall(texts[-1]) if texts else []


def _wanted(body: dict[str, Any], choice: dict[str, Any], fate: Plan, texts: tuple[str, ...]) -> int:
    """None once the last turn has brought results."""
    blocks = body["messages"][-1]["content"]
    has_results = any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)
    if choice.get("type") == "none" or has_results:
        return 0
    wanted = max(fate.tools, len(_named(texts)), int(choice.get("type") in ("any", "tool")))
    return min(wanted, 1) if choice.get("disable_parallel_tool_use") else wanted


def _worded(asked: Asked, schema: dict[str, Any] | None, fate: Plan, shelf: Shelf) -> answers.Answer:
    return answers.answer(
        asked.texts,
        schema=schema,
        seed=shelf.seed,
        max_tokens=asked.body["max_tokens"],
        stop=tuple(asked.body.get("stop_sequences") or ()),
        cut=fate.cut,
        gibberish=fate.gibberish,
    )


def _answered(asked: Asked, tool: Tool, fate: Plan, shelf: Shelf) -> tuple[list[dict[str, Any]], str, int]:
    """An answer given as a tool's input. One that is cut is the text of an input, and nothing where it is not streamed."""
    said = _worded(asked, tool.parameters, fate, shelf)
    block: dict[str, Any] = {"type": "tool_use", "id": "toolu_01", "name": tool.name}
    try:
        given = orjson.loads(said.text)
    except orjson.JSONDecodeError:
        given = said.text if asked.streamed and said.cut else {"said": said.text}
    return [block | {"input": given}], "max_tokens" if said.cut else "tool_use", said.tokens


def _tool(told: dict[str, Any]) -> Tool:
    return Tool(told["name"], told.get("description", ""), told["input_schema"])


def _message(model: str, used: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    usage = used | {"service_tier": "standard"}
    return {"id": "msg_01", "type": "message", "role": "assistant", "model": model, **empty, "usage": usage}


def _events(
    message: dict[str, Any], blocks: list[dict[str, Any]], stop: dict[str, Any], used: dict[str, Any]
) -> Iterator[bytes]:
    begun = message | {"usage": message["usage"] | {"output_tokens": 1}}
    yield _event("message_start", {"type": "message_start", "message": begun})
    yield _event("ping", {"type": "ping"})
    for index, block in enumerate(blocks):
        kind = block["type"]
        field = {"text": "text", "thinking": "thinking", "tool_use": "input"}[kind]
        piece, name = {
            "text": ("text_delta", "text"),
            "thinking": ("thinking_delta", "thinking"),
            "tool_use": ("input_json_delta", "partial_json"),
        }[kind]
        whole = block[field] if isinstance(block[field], str) else orjson.dumps(block[field]).decode()
        start = block | {field: {} if kind == "tool_use" else ""}
        yield _event("content_block_start", {"type": "content_block_start", "index": index, "content_block": start})
        for part in words("" if whole == "{}" else whole):
            delta = {"type": piece, name: part}
            yield _event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
        yield _event("content_block_stop", {"type": "content_block_stop", "index": index})
    yield _event("message_delta", {"type": "message_delta", "delta": stop, "usage": used})
    yield _event("message_stop", {"type": "message_stop"})


def words(text: str) -> list[str]:
    words = [f"{word} " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    return words


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def _check_headers(request: Request) -> None:
    if "x-api-key" not in request.headers and "authorization" not in request.headers:
        raise _refused(401, "authentication_error", "x-api-key header is required")
    if "anthropic-version" not in request.headers:
        raise _invalid("anthropic-version: header is required")


def _check(body: dict[str, Any], shelf: Shelf) -> None:
    """Raises Refusal."""
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise _invalid(f"{name}: Field required")
    if unknown := sorted(set(body) - _FIELDS):
        raise _invalid(f"{unknown[0]}: Extra inputs are not permitted")
    model = body["model"]
    if model not in MODELS and not shelf.has(model):
        raise _refused(404, "not_found_error", f"model: {model}")
    if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
        raise _invalid("max_tokens: Input should be greater than or equal to 1")
    if not body["messages"]:
        raise _invalid("messages: at least one message is required")
    sampled, forced = MODELS.get(model, (True, True))
    for name in ("temperature", "top_p", "top_k"):
        if name in body and not sampled:
            raise _invalid(f"`{name}` is deprecated for this model.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool") and not forced:
        raise _invalid("tool_choice: forcing a tool is not supported for this model.")
    _check_turns(body["messages"])


def _check_turns(turns: list[dict[str, Any]]) -> None:
    called: set[str] = set()
    for number, turn in enumerate(turns):
        if turn["role"] not in ("user", "assistant"):
            raise _invalid(f"messages.{number}.role: Input should be 'user' or 'assistant'")
        for block in turn["content"] if isinstance(turn["content"], list) else ():
            if block["type"] == "text" and not block["text"]:
                raise _invalid("messages: text content blocks must be non-empty")
            if block["type"] == "tool_use":
                called.add(block["id"])
            if block["type"] == "tool_result" and block["tool_use_id"] not in called:
                raise _invalid(f"messages.{number}: unexpected `tool_use_id` found in `tool_result` blocks")


def _system(body: dict[str, Any]) -> list[str]:
    return list(_texts(body.get("system") or ()))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for block in content:
        if block["type"] == "text":
            yield block["text"]
        elif block["type"] == "tool_result":
            yield from _texts(block.get("content") or ())


def _described(name: str, shelf: Shelf) -> dict[str, Any]:
    named = {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
    capabilities = {"structured_outputs": {"supported": name in MODELS and name != "claude-opus-4-1"}}
    return named | {
        "lifecycle": "active",
        "max_input_tokens": shelf.context_tokens,
        "max_tokens": 64_000,
        "capabilities": capabilities | {"image_input": {"supported": True}},
    }


def _error(status: int, kind: str, words: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    told = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    return Response(orjson.dumps(told), status, "application/json", headers)


def _refused(status: int, kind: str, words: str) -> Refusal:
    return Refusal(_error(status, kind, words))


def _invalid(words: str) -> Refusal:
    return _refused(400, "invalid_request_error", words)
