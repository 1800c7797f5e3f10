"""Calls and their answers as the journal keeps them: what makes two calls the same, and an answer that a later attempt takes over."""

import hashlib
from dataclasses import asdict, fields
from typing import Literal

import orjson

from providers.calls import (
    AnyCall,
    ChatAnswer,
    ChatCall,
    EmbedAnswer,
    EmbedCall,
    Judged,
    ModerateAnswer,
    ModerateCall,
    Spent,
    ToolCall,
)

Answer = ChatAnswer | EmbedAnswer | ModerateAnswer
Kind = Literal["chat", "embed", "moderate"]
_TOLD = {
    kind: tuple(f.name for f in fields(kind) if f.name not in {"tag", "timeout_s", "on_tokens", "on_delta"})
    for kind in (ChatCall, EmbedCall, ModerateCall)
}
_KINDS: dict[type, Kind] = {
    ChatCall: "chat",
    ChatAnswer: "chat",
    EmbedCall: "embed",
    EmbedAnswer: "embed",
    ModerateCall: "moderate",
    ModerateAnswer: "moderate",
}


def kind(call: AnyCall) -> Kind:
    """Of a call, in the journal's words."""
    return _KINDS[type(call)]


def digest(call: AnyCall) -> bytes:
    """What makes two calls the same; not the tag, not the time-out, not who is told."""
    told = {name: getattr(call, name) for name in _TOLD[type(call)]}
    packed = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).digest()


def pack(answer: Answer) -> bytes:
    """An answer, whole."""
    return orjson.dumps({"kind": _KINDS[type(answer)], **asdict(answer)})


def unpack(body: bytes) -> Answer:
    """What `pack` packed."""
    told = orjson.loads(body)
    spent = Spent(**told["spent"])
    if told["kind"] == "chat":
        calls = tuple(ToolCall(**call) for call in told["tool_calls"])
        logprobs = None if told["logprobs"] is None else tuple(told["logprobs"])
        kept = {name: told[name] for name in ("text", "finish_reason", "refusal", "reasoning", "model")}
        return ChatAnswer(**kept, spent=spent, tool_calls=calls, logprobs=logprobs)
    if told["kind"] == "moderate":
        return ModerateAnswer(tuple(Judged(**verdict) for verdict in told["verdicts"]), spent)
    return EmbedAnswer(tuple(tuple(vector) for vector in told["vectors"]), spent)
