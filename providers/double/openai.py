"""OpenAI's format: `/v1/chat/completions` (streamed as server-sent events when asked), `/v1/embeddings`, `/v1/models`; Azure's paths too.

Shapes and words are those of OpenAI's API reference and of its errors as clients have reported them. It asks for tools when a
directive says so, and when `tool_choice` makes it.
"""

import base64
import re
import struct
from typing import Any
from urllib.parse import unquote

import orjson

from providers.calls import Kind, Tool, ToolCall
from providers.double import answers, moderation, replies
from providers.double.faults import Plan
from providers.double.http1 import Request, Response
from providers.double.wire import Asked, Refusal, Said, Shelf, Spoilt, retry_headers

_SSE = "text/event-stream; charset=utf-8"
_DONE = b"data: [DONE]\n\n"
_ID = "chatcmpl-fake"
_CALLS = re.compile(
    r"/v1/(chat/completions|embeddings|moderations)|/openai/deployments/([^/]+)/(chat/completions|embeddings)"
)
_MODERATIONS, _MODERATES = "/v1/moderations", "-moderation"
_PIECE = 12
"""Characters of a tool's arguments in one piece of a stream."""

_THOUGHT = "Let me think about that first. "
_REFUSED = "I'm sorry, I can't help with that."

_FAILURES: dict[str, tuple[int, dict[str, Any]]] = {}


def _fails(name: str, status: int, message: str, kind: str, code: str | None, param: str | None = None) -> None:
    _FAILURES[name] = (status, {"message": message, "type": kind, "param": param, "code": code})


_INVALID = "invalid_request_error"
_fails("overloaded", 503, "That model is currently overloaded with other requests.", "server_error", None)
_fails("unreachable", 503, "The server is currently unavailable.", "server_error", None)
_fails("rate_limited", 429, "Rate limit reached for requests. Limit: 3 / min.", "requests", "rate_limit_exceeded")
_fails("rate_limited_date", 429, "Rate limit reached for tokens. Limit: 90000 / min.", "tokens", "rate_limit_exceeded")
_fails("rejected", 400, "Invalid value for 'temperature': expected a number.", _INVALID, "invalid_value", "temperature")
_fails(
    "model_not_found",
    404,
    "The model `fake` does not exist or you do not have access to it.",
    _INVALID,
    "model_not_found",
)
_fails(
    "context_too_long",
    400,
    "This model's maximum context length is 2000 tokens. However, your messages resulted in 2001 tokens."
    " Please reduce the length of the messages.",
    _INVALID,
    "context_length_exceeded",
    "messages",
)
_fails(
    "unsupported",
    400,
    "Unsupported parameter: 'top_p' is not supported with this model.",
    _INVALID,
    "unsupported_parameter",
    "top_p",
)
_fails("refused", 401, "Incorrect API key provided: sk-fake**********cret.", _INVALID, "invalid_api_key")
_fails(
    "quota",
    429,
    "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_quota",
    "insufficient_quota",
)
_fails("server_error", 500, "The server had an error while processing your request.", "server_error", None)


class OpenAI:
    """A `Wire`."""

    def kind(self, path: str) -> Kind | None:
        match = _CALLS.fullmatch(path)
        if match is None:
            return None
        return "chat" if "chat/completions" in (match[1], match[3]) else "embed"

    def page(self, request: Request, shelf: Shelf) -> Response | None:
        if request.method != "GET" or request.path not in ("/v1/models", "/openai/models"):
            return None
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in shelf.models]
        return Response(orjson.dumps({"object": "list", "data": listed}))

    def read(self, request: Request, shelf: Shelf) -> Asked:
        kind = self.kind(request.path)
        assert kind is not None
        if request.method != "POST":
            raise _refused(405, f"Not allowed to {request.method} on {request.path}.", "method_not_supported")
        try:
            body = orjson.loads(request.body)
            deployed = _CALLS.fullmatch(request.path)
            model = unquote(deployed[2] or "") if deployed else ""
            model = model or body.get("model")
            texts = tuple(map(_text, body["messages"])) if kind == "chat" else _given(body["input"])
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            raise _refused(400, "We could not parse the JSON body of your request.", None) from None
        if request.path == _MODERATIONS:
            return Asked(self, kind, _moderating(model), texts, body, streamed=False)
        _check(kind, body, model, texts, shelf)
        return Asked(self, kind, model, texts, body, kind == "chat" and body.get("stream") is True)

    def answer(self, asked: Asked, fate: Plan, shelf: Shelf, load_s: float) -> Said:  # noqa: ARG002 - the wire's
        if asked.kind == "embed":
            return _verdicts(asked) if _MODERATES in asked.model else _vectors(asked)
        return _streamed(asked, fate, shelf) if asked.streamed else _whole(asked, fate, shelf)

    def failure(self, fate: Plan) -> Response:
        if fate.fault == "not_ollama":
            return Response(b"404 page not found", 404, "text/plain")
        status, error = _FAILURES[fate.fault or "server_error"]
        return Response(orjson.dumps({"error": error}), status, headers=retry_headers(fate))

    def spoilt(self, asked: Asked, how: Spoilt, said: Said) -> Response:
        error = {"error": _FAILURES["server_error"][1]}
        if not asked.streamed:
            bodies = {"broken json": b'{"id":"chatcmpl-fake","choices":[{"index":0,"mess', "empty": _no_choice(asked)}
            return Response(bodies[how]) if how in bodies else Response(orjson.dumps(error), 500)
        kept = b"".join(said.pieces[: len(said.pieces) // 2])
        bodies = {
            "broken json": kept + b'data: {"id":"chatcmpl-fake","choi\n\n' + _DONE,
            "empty": b"data: " + _no_choice(asked) + b"\n\n" + _DONE,
            "failed midway": kept + b"data: " + orjson.dumps(error) + b"\n\n",
        }
        return Response(bodies[how], kind=_SSE)


def _no_choice(asked: Asked) -> bytes:
    kind = "chat.completion.chunk" if asked.streamed else "chat.completion"
    return orjson.dumps({"id": _ID, "object": kind, "created": 0, "model": asked.model, "choices": []})


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _given(told: Any) -> tuple[str, ...]:
    return (told,) if isinstance(told, str) else tuple(told)


def _check(kind: Kind, body: dict[str, Any], model: Any, texts: tuple[str, ...], shelf: Shelf) -> None:
    if not isinstance(model, str) or not model:
        raise _refused(400, "you must provide a model parameter", None)
    if not shelf.has(model):
        raise _refused(404, f"The model `{model}` does not exist or you do not have access to it.", "model_not_found")
    if kind == "chat" and ("embed" in model or "minilm" in model):
        raise _refused(404, "This is not a chat model and thus not supported in this endpoint.", None)
    most = shelf.context_tokens
    length = answers.count(texts) if kind == "chat" else max((len(text.split()) for text in texts), default=0)
    if length > most:
        however = f"your messages resulted in {length}" if kind == "chat" else f"you requested {length}"
        words = f"This model's maximum context length is {most} tokens. However, {however} tokens."
        raise _refused(400, words, "context_length_exceeded", "messages" if kind == "chat" else None)
    roles = [message.get("role") for message in body.get("messages", ())]
    if "tool" in roles and not any(message.get("tool_calls") for message in body["messages"]):
        words = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
        raise _refused(400, f"Invalid parameter: {words}", None, "messages")


def _refused(status: int, words: str, code: str | None, param: str | None = None) -> Refusal:
    error = {"message": words, "type": _INVALID, "param": param, "code": code}
    return Refusal(Response(orjson.dumps({"error": error}), status))


def _said(asked: Asked, fate: Plan, shelf: Shelf) -> tuple[answers.Answer, tuple[ToolCall, ...]]:
    body = asked.body
    seed = (shelf.seed, body.get("seed"))
    if fate.refusal:
        return answers.Answer(_REFUSED, len(_REFUSED.split()), cut=False), ()
    tools = _tools(body, asked.texts)
    calls = answers.tool_calls(tools, asked.texts, seed, _wanted(body, fate, asked.texts))
    if calls:
        return answers.Answer("", sum(2 + len(call.arguments) // 4 for call in calls), cut=False), calls
    wished = body.get("response_format") or {}
    schema = {"json_schema": (wished.get("json_schema") or {}).get("schema"), "json_object": {"type": "object"}}
    return answers.answer(
        asked.texts,
        schema=schema.get(wished.get("type", "text")),
        seed=seed,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=_given(body.get("stop") or ()),
        cut=fate.cut or fate.filtered,
        gibberish=fate.gibberish,
    ), ()


def _tools(body: dict[str, Any], texts: tuple[str, ...]) -> list[Tool]:
    """Those that may be asked for: the one that is forced, else those that `[fake:tool:NAME]` names, else all."""
    functions = {each["function"]["name"]: each["function"] for each in body.get("tools") or ()}
    choice = body.get("tool_choice")
    names = [choice["function"]["name"]] if isinstance(choice, dict) else _named(texts) or list(functions)
    return [Tool(name, parameters=functions[name].get("parameters")) for name in names if name in functions]


def _named(texts: tuple[str, ...]) -> list[str]:
    return replies.TOOL.findall(texts[-1]) if texts else []


def _wanted(body: dict[str, Any], fate: Plan, texts: tuple[str, ...]) -> int:
    choice = body.get("tool_choice")
    if choice == "none" or (body["messages"] and body["messages"][-1].get("role") == "tool"):
        return 0
    wanted = max(fate.tools, len(_named(texts)), int(choice == "required" or isinstance(choice, dict)))
    return min(wanted, 1) if body.get("parallel_tool_calls") is False else wanted


def _finish(said: answers.Answer, calls: tuple[ToolCall, ...], fate: Plan) -> str:
    if fate.filtered:
        return "content_filter"
    return "tool_calls" if calls else "length" if said.cut else "stop"


def _usage(asked: Asked, said: answers.Answer, fate: Plan) -> dict[str, Any]:
    thought = len(_THOUGHT.split()) if fate.reasoning else 0
    prompt, output = answers.count(asked.texts), said.tokens + thought
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": prompt // 1024 * 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }


def _head(asked: Asked, kind: str) -> dict[str, Any]:
    tier = asked.body.get("service_tier") or "default"
    return {"id": _ID, "object": kind, "created": 0, "model": asked.model, "service_tier": tier}


def _whole(asked: Asked, fate: Plan, shelf: Shelf) -> Said:
    said, calls = _said(asked, fate, shelf)
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if fate.refusal:
        message |= {"content": None, "refusal": said.text}
    if fate.reasoning:
        message["reasoning_content"] = _THOUGHT
    if calls:
        message |= {"content": None, "tool_calls": [_call(call) for call in calls]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said, calls, fate)}
    if asked.body.get("logprobs"):
        choice["logprobs"] = {"content": answers.logprobs(said.text, asked.body.get("top_logprobs") or 0)}
    head = _head(asked, "chat.completion")
    return Said((orjson.dumps(head | {"choices": [choice], "usage": _usage(asked, said, fate)}),))


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _streamed(asked: Asked, fate: Plan, shelf: Shelf) -> Said:
    said, calls = _said(asked, fate, shelf)
    head = _head(asked, "chat.completion.chunk")
    first: dict[str, Any] = {"role": "assistant", "content": None if calls else "", "refusal": None}
    deltas: list[tuple[dict[str, Any], Any]] = [(first, None)]
    if fate.reasoning:
        deltas += [({"reasoning_content": word}, None) for word in _words(_THOUGHT)]
    if calls:
        deltas += [({"tool_calls": [piece]}, None) for piece in _pieces(calls)]
    else:
        deltas += _text_deltas(asked, said, "refusal" if fate.refusal else "content")
    chunks = [head | {"choices": [_chunk(delta, logprobs, None)]} for delta, logprobs in deltas]
    chunks.append(head | {"choices": [_chunk({}, None, _finish(said, calls, fate))]})
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        chunks = [chunk | {"usage": None} for chunk in chunks]
        chunks.append(head | {"choices": [], "usage": _usage(asked, said, fate)})
    return Said((*(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks), _DONE), _SSE, opening=2)


def _chunk(delta: dict[str, Any], logprobs: Any, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _text_deltas(asked: Asked, said: answers.Answer, name: str) -> list[tuple[dict[str, Any], Any]]:
    if not asked.body.get("logprobs"):
        return [({name: word}, None) for word in _words(said.text)]
    entries = answers.logprobs(said.text, asked.body.get("top_logprobs") or 0)
    return [({name: entry["token"]}, {"content": [entry], "refusal": None}) for entry in entries]


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def _pieces(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    """The first piece of each has its id and its name; all have its index."""
    pieces: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        head = {"index": index, "id": call.id, "type": "function"}
        pieces.append(head | {"function": {"name": call.name, "arguments": ""}})
        cuts = range(0, len(call.arguments), _PIECE)
        pieces += [{"index": index, "function": {"arguments": call.arguments[at : at + _PIECE]}} for at in cuts]
    return pieces


def _moderating(model: Any) -> str:
    """OpenAI's own, whatever else the server has."""
    if model is None:
        return "omni-moderation-latest"
    if not isinstance(model, str) or _MODERATES not in model:
        words = f"Invalid value for 'model' = {model}. Please check the OpenAI documentation and try again."
        raise _refused(400, words, None)
    return model


def _verdicts(asked: Asked) -> Said:
    return Said((orjson.dumps({"id": "modr-fake", "model": asked.model, "results": moderation.results(asked.texts)}),))


def _vectors(asked: Asked) -> Said:
    size = asked.body.get("dimensions") or answers.DIMENSIONS
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(asked.body, answers.embed(text)[:size])}
        for index, text in enumerate(asked.texts)
    ]
    tokens = answers.count(asked.texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Said((orjson.dumps({"object": "list", "data": data, "model": asked.model, "usage": usage}),))


def _packed(body: dict[str, Any], vector: tuple[float, ...]) -> Any:
    if body.get("encoding_format") != "base64":
        return list(vector)
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
