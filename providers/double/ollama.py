"""Ollama's format: what a body asks for, and how the answer, a model's description or a refusal looks, in the words of 0.17.4.

`/api/chat` (streamed as NDJSON unless `stream` is false), `/api/embed`, `/api/tags`, `/api/ps`, `/api/show`, `/api/version`.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from providers.calls import ChatAnswer, ChatCall, Delta, Image, Kind, Message, Tool, ToolCall
from providers.double import answers, replies
from providers.double.faults import FAULTS, Plan
from providers.double.http1 import Request, Response
from providers.double.wire import Asked, Refusal, Said, Shelf, Spoilt, retry_headers

TEXT = "text/plain"
NDJSON = "application/x-ndjson"
NO_TIME = "2026-01-01T00:00:00Z"
_KINDS: dict[str, Kind] = {"/api/chat": "chat", "/api/embed": "embed"}
_PARAMS = ("top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty")


class Ollama:
    """A `Wire`."""

    def kind(self, path: str) -> Kind | None:
        return _KINDS.get(path)

    def page(self, request: Request, shelf: Shelf) -> Response | None:
        match (request.method, request.path):
            case ("GET", "/"):
                return Response(b"Ollama is running", kind=TEXT)
            case ("GET", "/api/tags"):
                return _json({"models": [_described(name, shelf) for name in shelf.models]})
            case ("GET", "/api/ps"):
                return _json({"models": [_described(name, shelf) for name in shelf.loaded]})
            case ("POST", "/api/show"):
                model = named(request.body)
                found = shelf.has(model)
                return shown(model, shelf.context_tokens) if found else error(404, f"model '{model}' not found")
            case ("GET", "/api/version"):
                return _json({"version": "0.17.4"})
        return None

    def read(self, request: Request, shelf: Shelf) -> Asked:
        kind = _KINDS[request.path]
        if request.method != "POST":
            raise Refusal(Response(b"405 method not allowed", 405, TEXT))
        if not request.body:
            raise Refusal(error(400, "missing request body"))
        chat = None
        try:
            body = orjson.loads(request.body)
            model = body.get("model")
            if kind == "chat":
                chat = read_call(body)
                texts = tuple(message.content for message in chat.messages)
                length = replies.count(chat)
            else:
                given = body.get("input", ())
                texts = (given,) if isinstance(given, str) else tuple(given)
                length = max((len(text.split()) for text in texts), default=0)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            raise Refusal(error(400, "unexpected EOF")) from None
        if (refusal := _refusal(request.path, body, model, length, shelf)) is not None:
            raise Refusal(refusal)
        streamed = kind == "chat" and bool(texts) and body.get("stream", True) is not False
        return Asked(self, kind, model, texts, body, streamed, chat, unloads=kind == "chat" and is_unload(body))

    def answer(self, asked: Asked, fate: Plan, shelf: Shelf, load_s: float) -> Said:
        loading = int(load_s * 1e9)
        nanos = int(fate.delay_s * 1e9) - loading
        times = {"total_duration": nanos + loading, "load_duration": loading}
        if asked.chat is None:
            vectors = [answers.embed(text, asked.body.get("dimensions")) for text in asked.texts]
            times |= {"prompt_eval_count": answers.count(asked.texts)}
            return Said((orjson.dumps({"model": asked.model, "embeddings": vectors} | times),))
        if not asked.chat.messages:
            return Said((emptied(asked.body, "unload" if asked.unloads else "load").body,))
        answer = replies.reply(asked.chat, shelf.seed, fate)
        times |= {"prompt_eval_count": answer.spent.input_tokens, "prompt_eval_duration": nanos // 4}
        times |= {"eval_count": answer.spent.output_tokens, "eval_duration": nanos - nanos // 4}
        return answered(asked.body, answer, times)

    def failure(self, fate: Plan) -> Response:
        fault = FAULTS[fate.fault or "server_error"]
        kind = "application/json; charset=utf-8" if fault.body.startswith("{") else TEXT
        return Response(fault.body.encode(), fault.status, kind, retry_headers(fate))

    def spoilt(self, asked: Asked, how: Spoilt, said: Said) -> Response:
        failed = orjson.dumps({"error": "an error was encountered while running the model"})
        match how:
            case "broken json":
                return Response(b'{"model":"fake","message":{"role":"assistant","content":"The')
            case "empty":
                return _json({"model": asked.model, "created_at": NO_TIME, "done": True, "done_reason": "stop"})
            case "failed midway" if asked.streamed:
                kept = said.pieces[: len(said.pieces) // 2]
                return Response(b"".join(kept) + failed + b"\n", kind=NDJSON)
        return Response(failed, 500)


def _refusal(path: str, body: Mapping[str, Any], model: Any, length: int, shelf: Shelf) -> Response | None:
    if not isinstance(model, str) or not model:
        return error(400, "model is required")
    if not shelf.has(model):
        tried = f"model '{model}' not found" if path == "/api/chat" else None
        return error(404, tried or f'model "{model}" not found, try pulling it first')
    return refused(path, body, length, shelf.context_tokens)


def _described(name: str, shelf: Shelf) -> dict[str, Any]:
    known = {"name": name, "model": name, "modified_at": NO_TIME, "size": 0, "size_vram": 0}
    return known | {"digest": digest(name), "context_length": shelf.context_tokens}


def read_call(body: Mapping[str, Any]) -> ChatCall:
    """Raises KeyError, TypeError, AttributeError for what is no chat."""
    options = body.get("options") or {}
    wished, think = body.get("format"), body.get("think")
    params = {name: options[name] for name in _PARAMS if name in options}
    if think is not None:
        params["reasoning_effort"] = think if isinstance(think, str) else "medium" if think else "none"
    return ChatCall(
        model=body.get("model") or "",
        messages=tuple(_message(turn) for turn in body.get("messages") or ()),
        timeout_s=0.0,
        schema=None if wished == "json" else wished,
        json_mode=wished == "json",
        max_tokens=options.get("num_predict"),
        stop=tuple(options.get("stop") or ()),
        seed=options.get("seed"),
        tools=tuple(_tool(each["function"]) for each in body.get("tools") or ()),
        logprobs=body.get("top_logprobs", 0) if body.get("logprobs") else None,
        params=params,
    )


def _message(turn: Mapping[str, Any]) -> Message:
    pictures = tuple(Image(packed) for packed in turn.get("images") or ())
    calls = tuple(
        ToolCall(each.get("id", ""), each["function"]["name"], orjson.dumps(each["function"]["arguments"]).decode())
        for each in turn.get("tool_calls") or ()
    )
    content = turn.get("content", "") if calls else turn["content"]
    return Message(turn["role"], content, (content, *pictures) if pictures else (), calls)


def _tool(told: Mapping[str, Any]) -> Tool:
    return Tool(told["name"], told.get("description", ""), told.get("parameters"))


def answered(body: Mapping[str, Any], answer: ChatAnswer, figures: dict[str, Any]) -> Said:
    """One object, or a line for each piece and one with the figures."""
    head = {"model": body["model"], "created_at": NO_TIME}
    reason = "length" if answer.finish_reason == "length" else "stop"
    last = {"done": True, "done_reason": reason} | figures
    if body.get("stream", True) is False:
        told = {"message": _said(Delta(answer.text, answer.reasoning or "", answer.refusal or ""), answer.tool_calls)}
        return Said((orjson.dumps(head | told | _likely(answer.logprobs or ()) | last),))
    lines = [head | {"message": _said(each)} | _likely(each.logprobs) | {"done": False} for each in _pieces(answer)]
    lines.append(head | {"message": {"role": "assistant", "content": ""}} | last)
    return Said(tuple(orjson.dumps(line) + b"\n" for line in lines), NDJSON)


def _pieces(answer: ChatAnswer) -> list[Delta]:
    """Ollama sends a tool call whole."""
    words = [each for each in replies.deltas(answer) if not each.tool_calls]
    return [*words, *(Delta(tool_calls=((index, call),)) for index, call in enumerate(answer.tool_calls))]


def _said(piece: Delta, calls: tuple[ToolCall, ...] = ()) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": piece.text or piece.refusal}
    if piece.reasoning:
        said["thinking"] = piece.reasoning
    if numbered := piece.tool_calls or tuple(enumerate(calls)):
        said["tool_calls"] = [_called(index, call) for index, call in numbered]
    return said


def _called(index: int, call: ToolCall) -> dict[str, Any]:
    arguments = orjson.loads(call.arguments)
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def _likely(logprobs: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {"logprobs": list(logprobs)} if logprobs else {}


def is_unload(body: Mapping[str, Any]) -> bool:
    """A chat without messages that is to be kept for no time."""
    return body.get("messages") == [] and body.get("keep_alive") in (0, "0", "0s")


def emptied(body: Mapping[str, Any], reason: str) -> Response:
    """The answer to a chat without messages, which loads a model or unloads it."""
    message = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason}
    return _json({"model": body["model"], "created_at": NO_TIME} | message)


def named(body: bytes) -> str:
    """The model that `/api/show` or `/api/pull` is asked about; empty: none."""
    try:
        told = orjson.loads(body)
        return str(told.get("model") or told.get("name") or "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""


def digest(model: str) -> str:
    return blake2b(model.encode(), digest_size=32).hexdigest()


def abilities(model: str) -> list[str]:
    """By its name: one with `embed` or `minilm` embeds, one with `smol` chats and no more."""
    if "embed" in model or "minilm" in model:
        return ["embedding"]
    return ["completion"] if "smol" in model else ["completion", "tools", "vision", "thinking"]


def shown(model: str, context: int) -> Response:
    """`/api/show`, as far as anybody here reads it."""
    details = {"format": "gguf", "family": "fake", "parameter_size": "0", "quantization_level": "none"}
    info = {"general.architecture": "fake", "fake.context_length": context}
    return _json({"details": details, "model_info": info, "capabilities": abilities(model), "modified_at": NO_TIME})


def refused(path: str, body: Mapping[str, Any], length: int, most: int) -> Response | None:
    """What a model that is there refuses, in Ollama's words; None: it takes the call of `length` tokens."""
    model = str(body["model"])
    known = abilities(model)
    if path == "/api/chat" and not is_unload(body) and "completion" not in known:
        return error(400, f'"{model}" does not support chat')
    asked = {"tools": bool(body.get("tools")), "thinking": body.get("think") not in (None, False)}
    lacking = next((name for name, is_asked in asked.items() if is_asked and name not in known), None)
    if lacking is not None:
        return error(400, f"registry.ollama.ai/library/{model} does not support {lacking}")
    context = min(most, (body.get("options") or {}).get("num_ctx") or most)
    if length > context and body.get("truncate") is False:
        return error(400, "the input length exceeds the context length")
    return None


def error(status: int, words: str) -> Response:
    return Response(orjson.dumps({"error": words}), status)


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value))
