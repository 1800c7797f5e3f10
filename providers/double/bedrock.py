"""Bedrock's format: Converse, ConverseStream as framed events, InvokeModel for embeddings, and the lists of models.

As strict as the real one about who asks (some signature or some key), fields that it does not know, and models.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson

from providers import eventstream
from providers.calls import Kind
from providers.double import answers
from providers.double.anthropic import THOUGHT, made, words
from providers.double.faults import Plan
from providers.double.http1 import Request, Response
from providers.double.wire import Asked, Refusal, Said, Shelf, Spoilt, retry_headers

CLAUDE = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-multilingual-v3"
_STREAM = "application/vnd.amazon.eventstream"
_FIELDS = frozenset(
    [
        *("messages", "system", "inferenceConfig", "toolConfig", "additionalModelRequestFields", "outputConfig"),
        *("serviceTier", "guardrailConfig", "performanceConfig", "requestMetadata"),
    ]
)
_FAULTS = {
    "unreachable": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "overloaded": (429, "ModelNotReadyException", "Model is not ready for inference."),
    "rate_limited": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "rate_limited_date": (429, "ThrottlingException", "Too many tokens, please wait before trying again."),
    "rejected": (400, "ValidationException", "The text field in the ContentBlock object is blank."),
    "model_not_found": (404, "ResourceNotFoundException", "This model version has reached the end of its life."),
    "context_too_long": (400, "ValidationException", "Input is too long for requested model."),
    "unsupported": (400, "ValidationException", "This model doesn't support tool use."),
    "refused": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "quota": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error."),
}


class Bedrock:
    """A `Wire`."""

    def kind(self, path: str) -> Kind | None:
        if not path.startswith("/model/"):
            return None
        return "embed" if path.endswith("/invoke") else "chat"

    def page(self, request: Request, shelf: Shelf) -> Response | None:  # noqa: ARG002 - the protocol's
        match (request.method, request.path):
            case ("GET", "/foundation-models"):
                listed = [_described(name, "TEXT") for name in (CLAUDE.removeprefix("global."), NOVA)]
                listed += [_described(name, "EMBEDDING") for name in (TITAN, COHERE)]
                return _json({"modelSummaries": listed})
            case ("GET", "/inference-profiles"):
                profile = {"inferenceProfileId": CLAUDE, "status": "ACTIVE", "type": "SYSTEM_DEFINED"}
                return _json({"inferenceProfileSummaries": [profile]})
        return None

    def read(self, request: Request, shelf: Shelf) -> Asked:
        if not request.headers.get("authorization", "").startswith(("AWS4-HMAC-SHA256 Credential=", "Bearer ")):
            raise _refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        _, _, name, verb = request.path.split("/", 3)
        model = unquote(name)
        if model not in (CLAUDE, NOVA, TITAN, COHERE):
            raise _invalid("The provided model identifier is invalid.")
        try:
            body = orjson.loads(request.body)
            if verb == "invoke":
                return self._embedding(model, body, shelf)
            if unknown := sorted(set(body) - _FIELDS):
                raise _invalid(f"extraneous key [{unknown[0]}] is not permitted")
            texts = (
                *_texts(body.get("system", ())),
                *(text for turn in body["messages"] for text in _texts(turn["content"])),
            )
            asked = _in_other_words(body)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise _refused(400, "SerializationException", f"The body is not valid: {type(error).__name__}") from None
        if (length := answers.count(texts)) > shelf.context_tokens:
            raise _invalid(
                "The model returned the following errors: prompt is too long: "
                f"{length} tokens > {shelf.context_tokens} maximum"
            )
        return Asked(self, "chat", model, texts, asked, verb == "converse-stream")

    def _embedding(self, model: str, body: dict[str, Any], shelf: Shelf) -> Asked:
        texts = (body["inputText"],) if model == TITAN else tuple(body["texts"])
        longest = max(len(text.split()) for text in texts)
        if longest > shelf.context_tokens:
            raise _invalid(
                f"400 Bad Request: Too many input tokens. Max input tokens: {shelf.context_tokens}, "
                f"request input token count: {longest} "
            )
        return Asked(self, "embed", model, texts, body, streamed=False)

    def answer(self, asked: Asked, fate: Plan, shelf: Shelf, load_s: float) -> Said:  # noqa: ARG002 - the protocol's
        if asked.kind == "embed":
            return _vectors(asked)
        blocks, ended, tokens = made(asked, fate, shelf)
        thoughts = len(THOUGHT.split()) if fate.reasoning else 0
        if thoughts:
            blocks.insert(0, {"type": "thinking", "thinking": THOUGHT})
        stop = "guardrail_intervened" if fate.filtered else "content_filtered" if ended == "refusal" else ended
        told = answers.count(asked.texts)
        used = {"inputTokens": told, "outputTokens": tokens + thoughts, "totalTokens": told + tokens + thoughts}
        used |= {"cacheReadInputTokens": 0, "cacheWriteInputTokens": 0}
        last = {"usage": used, "metrics": {"latencyMs": int(fate.delay_s * 1000)}}
        if not asked.streamed:
            message = {"role": "assistant", "content": list(map(_block, blocks))}
            return Said((orjson.dumps({"output": {"message": message}, "stopReason": stop} | last),))
        return Said(tuple(_events(blocks, stop, last)), _STREAM, opening=2)

    def failure(self, fate: Plan) -> Response:
        if fate.fault not in _FAULTS:
            return Response(b"404 page not found", 404, "text/plain")
        return _error(*_FAULTS[fate.fault], retry_headers(fate))

    def spoilt(self, asked: Asked, how: Spoilt, said: Said) -> Response:
        match how:
            case "broken json" if asked.streamed:
                frame = bytearray(said.pieces[1])
                frame[-1] ^= 1
                return Response(said.pieces[0] + bytes(frame), kind=_STREAM)
            case "broken json":
                return Response(b'{"output":{"message":{"role":"assistant","content":[{"text":"The')
            case "empty" if asked.streamed:
                nothing = {
                    "usage": {"inputTokens": 1, "outputTokens": 0, "totalTokens": 1},
                    "metrics": {"latencyMs": 1},
                }
                return Response(b"".join(_events([], "end_turn", nothing)), kind=_STREAM)
            case "empty":
                return _json({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"})
            case "failed midway" if asked.streamed:
                kept = b"".join(said.pieces[: len(said.pieces) // 2])
                headers = {":message-type": "exception", ":exception-type": "modelStreamErrorException"}
                broken = eventstream.written(headers, b'{"message":"The model failed.","originalStatusCode":500}')
                return Response(kept + broken, kind=_STREAM)
        return _error(424, "ModelErrorException", "The request failed due to an error while processing the model.")


def _in_other_words(body: dict[str, Any]) -> dict[str, Any]:
    """What the double's making of answers reads, under Anthropic's names."""
    config, tools = body.get("inferenceConfig") or {}, body.get("toolConfig") or {}
    if not isinstance(body["messages"], list) or not body["messages"]:
        raise _invalid("messages: at least one message is required")
    specs = [each["toolSpec"] for each in tools.get("tools", ())]
    kind, named = next(iter((tools.get("toolChoice") or {"auto": {}}).items()))
    told = (body.get("outputConfig") or {}).get("textFormat")
    schema = orjson.loads(told["structure"]["jsonSchema"]["schema"]) if told else None
    results = any("toolResult" in block for block in body["messages"][-1]["content"])
    return {
        "messages": [{"content": [{"type": "tool_result"}] if results else []}],
        "max_tokens": config.get("maxTokens") or 4096,
        "stop_sequences": config.get("stopSequences"),
        "tools": [{"name": spec["name"], "input_schema": spec["inputSchema"]["json"]} for spec in specs],
        "tool_choice": {"type": kind, **named},
        "output_config": {"format": {"schema": schema}},
    }


def _texts(blocks: Any) -> Iterator[str]:
    for block in blocks:
        if "text" in block:
            if not block["text"].strip():
                raise _invalid("The text field in the ContentBlock object is blank.")
            yield block["text"]
        elif "toolResult" in block:
            yield from _texts(block["toolResult"]["content"])


def _block(made_: dict[str, Any]) -> dict[str, Any]:
    match made_["type"]:
        case "tool_use":
            return {"toolUse": {"toolUseId": made_["id"], "name": made_["name"], "input": made_["input"]}}
        case "thinking":
            return {"reasoningContent": {"reasoningText": {"text": made_["thinking"], "signature": "EqQB"}}}
    return {"text": made_["text"]}


def _events(blocks: list[dict[str, Any]], stop: str, last: dict[str, Any]) -> Iterator[bytes]:
    yield _event("messageStart", {"role": "assistant"})
    for index, block in enumerate(blocks):
        at = {"contentBlockIndex": index}
        kind = block["type"]
        if kind == "tool_use":
            start = {"toolUse": {"toolUseId": block["id"], "name": block["name"]}}
            yield _event("contentBlockStart", at | {"start": start})
        whole = block[{"text": "text", "thinking": "thinking", "tool_use": "input"}[kind]]
        for part in words(whole if isinstance(whole, str) else orjson.dumps(whole).decode()):
            delta: dict[str, Any] = {"text": part}
            if kind != "text":
                delta = {"toolUse": {"input": part}} if kind == "tool_use" else {"reasoningContent": {"text": part}}
            yield _event("contentBlockDelta", at | {"delta": delta})
        yield _event("contentBlockStop", at)
    yield _event("messageStop", {"stopReason": stop})
    yield _event("metadata", last)


def _event(name: str, said: dict[str, Any]) -> bytes:
    """Padded as AWS pads, so that the length of an event does not tell what is in it."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.written(headers, orjson.dumps(said | {"p": "abcdefghijkl"}))


def _vectors(asked: Asked) -> Said:
    size = asked.body.get("dimensions") or answers.DIMENSIONS
    vectors = [
        [each * 3 for each in answers.embed(text)[:size]] for text in asked.texts
    ]  # Cohere's are not of unit length
    counted = answers.count(asked.texts)
    if asked.model == TITAN:
        return Said((orjson.dumps({"embedding": vectors[0], "inputTextTokenCount": counted}),))
    named = {"id": "e-1", "response_type": "embeddings_by_type", "embeddings": {"float": vectors}, "texts": asked.texts}
    return Said((orjson.dumps(named),))


def _described(name: str, outputs: str) -> dict[str, Any]:
    profile = name.startswith("anthropic.")
    return {
        "modelId": name,
        "inputModalities": ["TEXT"],
        "outputModalities": [outputs],
        "inferenceTypesSupported": ["INFERENCE_PROFILE" if profile else "ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), kind="application/json")


def _error(status: int, kind: str, told: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    named = (("x-amzn-ErrorType", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"), *headers)
    return Response(orjson.dumps({"message": told}), status, "application/json", named)


def _refused(status: int, kind: str, told: str) -> Refusal:
    return Refusal(_error(status, kind, told))


def _invalid(told: str) -> Refusal:
    return _refused(400, "ValidationException", told)
