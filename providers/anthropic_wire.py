"""Anthropic's Messages format as pure functions: what a call looks like. What is answered: `anthropic_reply`.

A schema goes out as `output_config.format` where the model has that and the schema fits into it, else as the input of a tool
that the model is made to call; `Sent.tool` and `Sent.wrapped` say how to read the answer back.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from providers import able
from providers.calls import ChatCall, Forced, Image, Message, Tool, ToolCall
from providers.claude import LEAST_THOUGHT, ROOM_TO_THINK, Claude
from providers.claude_schema import fitted
from providers.errors import Rejected, Unsupported

ANSWER = "answer"
"""The tool whose input is the answer, where a schema cannot be given in another way."""

_OBJECT: dict[str, Any] = {"type": "object"}
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_DATA = re.compile(r"data:(image/[a-z0-9.+-]+);base64,(.+)", re.DOTALL)
_SHARES = {"minimal": 0.0, "low": 0.25, "medium": 0.5, "high": 0.75}
"""Of `max_tokens`, for models that think with a budget."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A call's body. `tool`: the answer is the input of `ANSWER`; `wrapped`: the one under `value` in it."""

    body: dict[str, Any]
    tool: bool = False
    wrapped: bool = False

    def encoded(self) -> bytes:
        """Raises Rejected for what JSON cannot carry."""
        try:
            return orjson.dumps(self.body)
        except TypeError as error:  # a lone surrogate, or an integer above 64 bits in a schema
            raise Rejected(f"The call cannot be written as JSON: {error}.") from None


def chat(call: ChatCall, known: Claude) -> Sent:
    """Streamed only for whoever reads along or wants to be told how far it is. Raises Unsupported and Rejected."""
    able.check(call, known.able())
    most = known.unsaid_output() if call.max_tokens is None else call.max_tokens
    system, turns = messages(call)
    body: dict[str, Any] = {"model": call.model, "max_tokens": most, "messages": turns}
    wishes: dict[str, Any] = {
        "system": system or None,
        "temperature": call.temperature if known.sampling is not False else None,
        "stop_sequences": list(call.stop) or None,
        "top_p": call.params.get("top_p"),
        "top_k": call.params.get("top_k"),
        "metadata": {"user_id": call.params["user"]} if "user" in call.params else None,
        "service_tier": _tier(call, known),
        "tools": [_tool(call, tool, known) for tool in call.tools] or None,
        "tool_choice": _choice(call),
        "stream": True if call.on_tokens is not None or call.on_delta is not None else None,
    }
    body |= {name: wish for name, wish in wishes.items() if wish is not None}
    _think(call, known, most, body)
    return _shaped(call, known, body)


_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")


def counted(sent: Sent) -> bytes:
    """The same call, to be counted instead of answered. Raises Rejected."""
    return Sent({name: sent.body[name] for name in _COUNTED if name in sent.body}).encoded()


def _tier(call: ChatCall, known: Claude) -> str | None:
    asked, there = call.params.get("service_tier"), dict(known.tiers)
    if asked is None:
        return None
    if asked in there:
        return there[asked]
    raise Unsupported(
        f"There is no `service_tier` {asked} for `{call.model}`; there is {', '.join(there)}.", _field("service_tier")
    )


def _think(call: ChatCall, known: Claude, most: int, body: dict[str, Any]) -> None:
    """As hard as asked; who does not say and leaves no room for it gets no thoughts, or few where they cannot be turned off."""
    effort = call.params.get("reasoning_effort")
    if effort is None and known.thinks and most < ROOM_TO_THINK:
        effort = "low" if known.off is None else "none"
    if effort is None:
        return
    if effort == "none":
        if known.off is None:
            raise Unsupported(
                f"`{call.model}` cannot stop thinking. Leave `reasoning_effort` out, or say low.",
                _field("reasoning_effort"),
            )
        body["thinking"] = {"type": known.off}
    elif known.thinking == "budget":
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(call, effort, most)}
    else:
        effort = "low" if effort == "minimal" else effort
        if effort not in known.efforts:
            there = ", ".join(known.efforts)
            raise Unsupported(
                f"`{call.model}` has no `reasoning_effort` {effort}; it has {there}.", _field("reasoning_effort")
            )
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body["output_config"] = {"effort": effort}


def _budget(call: ChatCall, effort: str, most: int) -> int:
    if effort not in _SHARES:
        raise Unsupported(
            f"`{call.model}` has no `reasoning_effort` {effort}; it has low, medium, high.", _field("reasoning_effort")
        )
    if most <= LEAST_THOUGHT:
        raise Rejected(
            f"`{call.model}` thinks {LEAST_THOUGHT} tokens at least, and `max_tokens` counts them: raise it above that, or leave "
            "`reasoning_effort` out.",
            _field("max_tokens"),
        )
    return max(LEAST_THOUGHT, int(most * _SHARES[effort]))


def _shaped(call: ChatCall, known: Claude, body: dict[str, Any]) -> Sent:
    """With the call's schema, in the way in which this model can be held to it."""
    if call.schema is None and not call.json_mode:
        return Sent(body)
    fit = None if call.schema is None else fitted(call.schema)
    if known.formats and fit is not None:
        config = {"format": {"type": "json_schema", "schema": fit}}
        return Sent(body | {"output_config": body.get("output_config", {}) | config})
    if known.forced is False:
        raise Unsupported(
            f"`{call.model}` cannot be held to this `response_format`: it has free objects, recursion, tuples or `allOf`. Give a "
            "schema whose objects name their properties, or name another model.",
            _field("response_format"),
        )
    if call.tools or body.get("thinking", {}).get("type") == "enabled":
        other = "tools" if call.tools else "reasoning_effort"
        raise Unsupported(
            f"`{call.model}` cannot do `response_format` with this schema and `{other}` in one call. Leave one of them out.",
            {"fields": ["response_format", other]},
        )
    schema = call.schema or _OBJECT
    wrapped = schema.get("type") != "object"
    if wrapped:
        schema = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    tool = {"name": ANSWER, "description": "Give your answer here, and nowhere else.", "input_schema": schema}
    return Sent(body | {"tools": [tool], "tool_choice": {"type": "tool", "name": ANSWER}}, tool=True, wrapped=wrapped)


def _field(name: str) -> dict[str, Any]:
    return {"fields": [name]}


def _tool(call: ChatCall, tool: Tool, known: Claude) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters or {"type": "object", "properties": {}}}
    if tool.description:
        told["description"] = tool.description
    if tool.strict:
        if not known.formats:
            raise able.unsupported(call.model, ["tools[].function.strict"])
        told["strict"] = True
    return told if tool.kept is None else told | keep(tool.kept)


def _choice(call: ChatCall) -> dict[str, Any] | None:
    one = {"disable_parallel_tool_use": True} if call.parallel_tool_calls is False and call.tools else {}
    match call.tool_choice:
        case None:
            return {"type": "auto", **one} if one else None
        case Forced(name):
            return {"type": "tool", "name": name, **one}
        case "none":
            return {"type": "none"} if call.tools else None
        case "required":
            return {"type": "any", **one}
    return {"type": "auto", **one} if call.tools else None


def messages(call: ChatCall) -> tuple[str | list[dict[str, Any]], list[dict[str, Any]]]:
    """The system's words, which stand apart, and the turns: neighbours of one role become one, a tool's answer is the user's.

    Raises Rejected and Unsupported.
    """
    system: list[Message] = []
    turns: list[dict[str, Any]] = []
    for message in call.messages:
        if message.name is not None and message.role != "tool":
            raise able.unsupported(call.model, ["messages[].name"])
        if message.role == "system":
            system.append(message)
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(_blocks(message))
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise Rejected(
            "There is nothing to answer: give at least one `user` turn with words in it.", _field("messages")
        )
    return _system(system), turns


def _system(said: list[Message]) -> str | list[dict[str, Any]]:
    """In blocks where one of them is to be kept: a text has no room for that."""
    if any(message.kept or message.parts for message in said):
        return [block for message in said for block in _blocks(message)]
    return "\n\n".join(message.content for message in said if message.content)


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    kept = {each.block: keep(each.ttl) for each in message.kept}
    if message.role == "tool":
        told: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
        yield told | kept.get(0, {})
        return
    parts = message.parts or (message.content,)
    for i, part in enumerate(parts):
        if isinstance(part, Image):
            yield {"type": "image", "source": _picture(part), **kept.get(i, {})}
        elif part:
            yield {"type": "text", "text": part, **kept.get(i, {})}
    for i, asked in enumerate(message.tool_calls, len(parts)):
        told = {"type": "tool_use", "id": asked.id, "name": asked.name, "input": arguments(asked)}
        yield told | kept.get(i, {})


def keep(ttl: str) -> dict[str, Any]:
    """What says of a block that the prompt up to it is to be kept."""
    return {"cache_control": {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})}


def arguments(asked: ToolCall) -> dict[str, Any]:
    """Raises Rejected where they are no JSON object."""
    try:
        found = orjson.loads(asked.arguments or "{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Rejected(
            f"The arguments of the tool call {asked.id!r} are no JSON object: mend them, or leave the call out.",
            _field("messages[].tool_calls"),
        )
    return found


def _picture(image: Image) -> dict[str, Any]:
    if image.detail not in (None, "auto"):
        raise Unsupported("Claude has no `image_url.detail`. Leave it out.", _field("image_url.detail"))
    if image.url.startswith("https://"):
        return {"type": "url", "url": image.url}
    kind, data = picture(image)
    return {"type": "base64", "media_type": kind, "data": data}


def picture(image: Image) -> tuple[str, str]:
    """The media type and the base64 of a data URL. Raises Rejected."""
    found = _DATA.fullmatch(image.url)
    if found is None or found[1] not in _PICTURES:
        kinds = ", ".join(kind.removeprefix("image/") for kind in _PICTURES)
        raise Rejected(
            f"Claude reads pictures from https URLs and from data URLs in base64, of the kinds {kinds}; this one is neither.",
            _field("image_url"),
        )
    return found[1], found[2]
