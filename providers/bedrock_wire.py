"""Bedrock's Converse as pure functions: what a call looks like.

A call is first put into Anthropic's words, which decide how a schema, thoughts and tools are asked for, and then into
Converse's, which differ in their names. Answers come back the same way (`bedrock_reply`).
"""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson

from providers import able, anthropic_wire
from providers.anthropic_wire import Sent
from providers.base import Able
from providers.calls import ChatCall, EmbedCall, not_kept
from providers.claude import Claude, claude
from providers.errors import Rejected, Unsupported

_TIERS = (("auto", "default"), ("default", "default"), ("flex", "flex"), ("priority", "priority"))
_OTHER = Claude(images=None, forced=None)

COHERE_AT_ONCE = 96
"""Texts that Cohere's models take in one call; Titan's take one."""


def known(model: str) -> Claude:
    """What a model takes here: Claude by its name, any other as far as Converse goes."""
    is_claude = "claude" in model
    cannot = frozenset({"user"} if is_claude else {"user", "top_k"})
    about = claude(model) if is_claude else _OTHER
    return replace(about, tiers=_TIERS, cannot=cannot, one_tool=False)


def able_of(model: str) -> Able:
    """Also of the models for embeddings."""
    if embedder(model) is None:
        return known(model).able()
    sized = "titan-embed-text-v2" in model or "cohere.embed-v4" in model
    return Able(chat=False, embed=True, params=frozenset({"dimensions"} if sized else ()))


def embedder(model: str) -> str | None:
    """`titan` or `cohere`, whose words an embedding model speaks; None: it is none that is known."""
    if "titan-embed" in model:
        return "titan"
    return "cohere" if "cohere.embed" in model else None


def path(model: str, verb: str) -> str:
    """A model is a name, the id of an inference profile, or the ARN of one."""
    return f"/model/{quote(model, safe=':')}/{verb}"


def chat(call: ChatCall) -> Sent:
    """Raises Unsupported and Rejected."""
    sent = anthropic_wire.chat(not_kept(call), known(call.model))
    said = sent.body
    body: dict[str, Any] = {
        "messages": [
            {"role": turn["role"], "content": list(map(_block, turn["content"]))} for turn in said["messages"]
        ],
    }
    config = {
        "maxTokens": said["max_tokens"] if call.max_tokens is not None or "claude" in call.model else None,
        "temperature": said.get("temperature"),
        "topP": said.get("top_p"),
        "stopSequences": said.get("stop_sequences"),
    }
    config = {name: wish for name, wish in config.items() if wish is not None}
    more = {name: said[name] for name in ("top_k", "thinking") if name in said}
    wishes: dict[str, Any] = {
        "system": [{"text": said["system"]}] if "system" in said else None,
        "inferenceConfig": config or None,
        "toolConfig": _tools(call, said),
        "outputConfig": _output(said.get("output_config", {})),
        "additionalModelRequestFields": more or None,
        "serviceTier": {"type": said["service_tier"]} if "service_tier" in said else None,
    }
    body |= {name: wish for name, wish in wishes.items() if wish is not None}
    return Sent(body, sent.tool, sent.wrapped)


def _block(said: dict[str, Any]) -> dict[str, Any]:
    match said["type"]:
        case "image":
            source = said["source"]
            if source["type"] == "url":
                raise Unsupported("Bedrock takes pictures as bytes only.", {"fields": ["image_url"]})
            picture = {"format": source["media_type"].removeprefix("image/"), "source": {"bytes": source["data"]}}
            return {"image": picture}
        case "tool_use":
            return {"toolUse": {"toolUseId": said["id"], "name": said["name"], "input": said["input"]}}
        case "tool_result":
            return {"toolResult": {"toolUseId": said["tool_use_id"], "content": [{"text": said["content"]}]}}
    return {"text": said["text"]}


def _tools(call: ChatCall, said: dict[str, Any]) -> dict[str, Any] | None:
    """Converse has no word for "none": then it is not told of the tools, unless the chat has used them before."""
    choice = said.get("tool_choice", {})
    if not said.get("tools"):
        return None
    if choice.get("type") == "none":
        if any(message.tool_calls for message in call.messages):
            raise able.unsupported(call.model, ["tool_choice"])
        return None
    told: dict[str, Any] = {"tools": [_tool(each) for each in said["tools"]]}
    match choice.get("type"):
        case "any" | "auto" as kind:
            told["toolChoice"] = {kind: {}}
        case "tool":
            told["toolChoice"] = {"tool": {"name": choice["name"]}}
    return told


def _tool(said: dict[str, Any]) -> dict[str, Any]:
    spec = {"name": said["name"], "inputSchema": {"json": said["input_schema"]}}
    return {"toolSpec": spec | {name: said[name] for name in ("description", "strict") if name in said}}


def _output(said: dict[str, Any]) -> dict[str, Any] | None:
    told: dict[str, Any] = {"effort": said["effort"]} if "effort" in said else {}
    if "format" in said:
        schema = orjson.dumps(said["format"]["schema"]).decode()
        told["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": {"name": "answer", "schema": schema}}}
    return told or None


def embeds(call: EmbedCall) -> list[bytes]:
    """The bodies of as many calls as its model needs. Raises Unsupported and Rejected."""
    able.check(call, able_of(call.model))
    makers = embedder(call.model)
    if makers is None:
        raise Unsupported(
            f"`{call.model}` has no embeddings that are known here. Name a model of amazon.titan-embed or cohere.embed.",
            {"fields": ["model"]},
        )
    if makers == "titan":
        size = {} if call.dimensions is None else {"dimensions": call.dimensions, "normalize": True}
        return [_dumped({"inputText": text} | size) for text in call.texts]
    size = {} if call.dimensions is None else {"output_dimension": call.dimensions}
    asked = {"input_type": "search_document", "truncate": "NONE", "embedding_types": ["float"]} | size
    starts = range(0, len(call.texts), COHERE_AT_ONCE)
    return [_dumped({"texts": call.texts[start : start + COHERE_AT_ONCE]} | asked) for start in starts]


def _dumped(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise Rejected(f"The call cannot be written as JSON: {error}.") from None
