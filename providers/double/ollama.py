"""Ollama's format: `/api/chat`, streamed as NDJSON unless `stream` is false, and `/api/embed`; errors in the words of 0.17.4."""

from typing import Any

import orjson

from providers.base import Kind
from providers.double import answers
from providers.double.faults import FAULTS, Plan
from providers.double.http1 import Request, Response
from providers.double.wire import Asked, Refusal, Said, Shelf, Spoilt, retry_headers

_TEXT = "text/plain"
_NDJSON = "application/x-ndjson"
_NO_TIME = "2026-01-01T00:00:00Z"
_KINDS: dict[str, Kind] = {"/api/chat": "chat", "/api/embed": "embed"}


class Ollama:
    """A `Wire`."""

    def kind(self, path: str) -> Kind | None:
        return _KINDS.get(path)

    def page(self, request: Request, shelf: Shelf) -> Response | None:
        match (request.method, request.path):
            case ("GET", "/"):
                return Response(b"Ollama is running", kind=_TEXT)
            case ("GET", "/api/tags"):
                return _json({"models": [_described(name, shelf) for name in shelf.models]})
            case ("GET", "/api/ps"):
                return _json({"models": [_described(name, shelf) for name in shelf.loaded]})
            case ("GET", "/api/version"):
                return _json({"version": "0.17.4"})
        return None

    def read(self, request: Request, shelf: Shelf) -> Asked:
        kind = _KINDS[request.path]
        if request.method != "POST":
            raise Refusal(Response(b"405 method not allowed", 405, _TEXT))
        if not request.body:
            raise _refused(400, "missing request body")
        try:
            body = orjson.loads(request.body)
            model = body.get("model")
            if kind == "chat":
                texts = tuple(message["content"] for message in body.get("messages", ()))
                length = answers.count(texts)
            else:
                given = body.get("input", ())
                texts = (given,) if isinstance(given, str) else tuple(given)
                length = max((len(text.split()) for text in texts), default=0)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            raise _refused(400, "unexpected EOF") from None
        _check(kind, body, model, length, shelf)
        streamed = kind == "chat" and body.get("stream", True) is not False
        return Asked(self, kind, model, texts, body, streamed)

    def answer(self, asked: Asked, fate: Plan, shelf: Shelf, load_s: float) -> Said:
        loading = int(load_s * 1e9)
        nanos = int(fate.delay_s * 1e9) - loading
        times = {"total_duration": nanos + loading, "load_duration": loading}
        times |= {"prompt_eval_count": answers.count(asked.texts)}
        if asked.kind == "embed":
            vectors = [answers.embed(text) for text in asked.texts]
            return _said({"model": asked.model, "embeddings": vectors} | times)
        options = asked.body.get("options") or {}
        wished = asked.body.get("format")
        said = answers.answer(
            asked.texts,
            schema={"type": "object"} if wished == "json" else wished,
            seed=(shelf.seed, options.get("seed")),
            max_tokens=options.get("num_predict"),
            stop=tuple(options.get("stop") or ()),
            cut=fate.cut,
            gibberish=fate.gibberish,
        )
        times |= {"prompt_eval_duration": nanos // 4, "eval_count": said.tokens, "eval_duration": nanos - nanos // 4}
        head = {"model": asked.model, "created_at": _NO_TIME}
        last = {"done": True, "done_reason": "length" if said.cut else "stop"} | times
        if not asked.streamed:
            return _said(head | {"message": {"role": "assistant", "content": said.text}} | last)
        return _streamed(head, said.text, last)

    def failure(self, fate: Plan) -> Response:
        fault = FAULTS[fate.fault or "server_error"]
        kind = "application/json; charset=utf-8" if fault.body.startswith("{") else _TEXT
        return Response(fault.body.encode(), fault.status, kind, retry_headers(fate))

    def spoilt(self, asked: Asked, how: Spoilt, said: Said) -> Response:
        failed = orjson.dumps({"error": "an error was encountered while running the model"})
        match how:
            case "broken json":
                return Response(b'{"model":"fake","message":{"role":"assistant","content":"The')
            case "empty":
                return _json({"model": asked.model, "created_at": _NO_TIME, "done": True, "done_reason": "stop"})
            case "failed midway" if asked.streamed:
                kept = said.pieces[: len(said.pieces) // 2]
                return Response(b"".join(kept) + failed + b"\n", kind=_NDJSON)
        return Response(failed, 500)


def _check(kind: Kind, body: dict[str, Any], model: Any, length: int, shelf: Shelf) -> None:
    if not isinstance(model, str) or not model:
        raise _refused(400, "model is required")
    if not shelf.has(model):
        tried = f"model '{model}' not found" if kind == "chat" else None
        raise _refused(404, tried or f'model "{model}" not found, try pulling it first')
    if kind == "chat" and ("embed" in model or "minilm" in model):
        raise _refused(400, f'"{model}" does not support chat')
    context = min(shelf.context_tokens, (body.get("options") or {}).get("num_ctx") or shelf.context_tokens)
    if length > context and body.get("truncate") is False:
        raise _refused(400, "the input length exceeds the context length")


def _described(name: str, shelf: Shelf) -> dict[str, Any]:
    known = {"name": name, "model": name, "modified_at": _NO_TIME, "size": 0, "size_vram": 0, "digest": ""}
    return known | {"context_length": shelf.context_tokens}


def _streamed(head: dict[str, Any], text: str, last: dict[str, Any]) -> Said:
    words = [f"{word} " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    lines = [head | {"message": {"role": "assistant", "content": word}, "done": False} for word in words]
    lines.append(head | {"message": {"role": "assistant", "content": ""}} | last)
    return Said(tuple(orjson.dumps(line) + b"\n" for line in lines), _NDJSON)


def _said(value: dict[str, Any]) -> Said:
    return Said((orjson.dumps(value),))


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value))


def _refused(status: int, words: str) -> Refusal:
    return Refusal(Response(orjson.dumps({"error": words}), status))
