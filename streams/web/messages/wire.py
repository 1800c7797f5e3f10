"""`/v1/messages`: Anthropic's body as a request of the operation `complete`.

Each field is passed on or refused by name. Taken without effect are only `thinking: disabled`, and thoughts that are sent back,
which no model is shown again. `cache_control` becomes the input's `keep`, beside the chat and not in it: it changes no answer.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from schemas import sizes
from streams.web.messages import keeping
from streams.web.messages.keeping import CACHE as _CACHE
from streams.web.openai.fields import Asked, bound, bound_chat, flag, kind_of, only, text, wrong

FIELDS = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "metadata",
        "service_tier",
        "thinking",
        "output_config",
        "cache_control",
    }
)
COUNTED = FIELDS - {
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
}
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_TIERS = {"auto": "auto", "standard_only": "default"}


def read(body: Mapping[str, Any], fields: frozenset[str] = FIELDS) -> Asked:
    """Raises `Problem` 400 that names a field."""
    told = only(body, fields, "")
    model = text(told, "model")
    if "max_tokens" in fields and "max_tokens" not in told:
        raise wrong("max_tokens", "`max_tokens` is missing; it must be a number.")
    turns, tools = _system(told.get("system")) + _turns(told.get("messages")), _tools(told)
    kept = keeping.lifted(turns, tools.get("tools", []))
    input_: dict[str, Any] = {"messages": turns}
    input_ |= tools | _params(told) | {"repair": False, "whole": True}
    if "stop_sequences" in told:
        input_["stop"] = told["stop_sequences"]
    if (schema := _schema(told.get("output_config"))) is not None:
        input_["output_schema"] = schema
    if only(told.get("thinking", {}), {"type"}, "thinking").get("type", "disabled") != "disabled":
        raise wrong(
            "thinking", "`thinking` can only be disabled here: how much a model thinks is its provider's to say."
        )
    if (ttl := keeping.ttl(told, "")) is not None:
        kept.append({"turn": len(turns) - 1, "block": keeping.last(turns[-1])} | ttl)
    if kept:
        input_["keep"] = kept
    options = {name: told[name] for name in ("max_tokens", "temperature") if name in told}
    return Asked(model, {"input": input_, "options": options}, flag(told, "stream"), names={"keep": _CACHE})


def _params(told: Mapping[str, Any]) -> dict[str, Any]:
    params = {name: told[name] for name in ("top_p", "top_k") if name in told}
    if (effort := only(told.get("output_config", {}), _OUTPUT, "output_config").get("effort")) is not None:
        params["reasoning_effort"] = effort
    who = only(told.get("metadata", {}), {"user_id"}, "metadata").get("user_id")
    if who is not None:
        params["user"] = who
    if "service_tier" in told:
        tier = kind_of(told, "service_tier")
        if tier not in _TIERS:
            raise wrong("service_tier", "`service_tier` is auto or standard_only.")
        params["service_tier"] = _TIERS[tier]
    return {"params": params} if params else {}


_OUTPUT = frozenset({"format", "effort"})


def _schema(asked: Any) -> dict[str, Any] | None:
    if asked is None:
        return None
    form = only(only(asked, _OUTPUT, "output_config").get("format", {}), {"type", "schema"}, "output_config.format")
    if not form:
        return None
    if form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise wrong(
            "output_config.format", "`output_config.format` must be of the type json_schema and have a `schema`."
        )
    schema: dict[str, Any] = form["schema"]
    return schema


def _system(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if isinstance(given, str):
        return [{"role": "system", "content": given}] if given else []
    parts = _texts(given, "system")
    return [{"role": "system", "content": parts}] if parts else []


def _texts(blocks: Any, where: str) -> list[dict[str, Any]]:
    """Blocks that can only be texts, as parts."""
    if not isinstance(blocks, list):
        raise wrong(where, f"`{where}` must be a text or a list of text blocks.")
    bound(blocks, sizes.MOST_PARTS, where, "blocks")
    found = []
    for i, block in enumerate(blocks):
        path = f"{where}[{i}]"
        if kind_of(block) != "text":
            raise wrong(f"{path}.type", f"`{path}.type` can only be text there.", "unsupported_parameter")
        found.append(_text(block, path))
    return found


def _text(block: Any, where: str) -> dict[str, Any]:
    words = only(block, {"type", "text", _CACHE, "citations"}, where).get("text")
    if not isinstance(words, str):
        raise wrong(f"{where}.text", f"`{where}.text` must be a text.")
    return {"type": "text", "text": words} | keeping.mark(block, where)


def _turns(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "`messages` must be a list of at least one message.")
    bound_chat(messages, "messages", what="messages")
    found: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        told = only(message, {"role", "content"}, where)
        role, content = told.get("role"), told.get("content")
        if role not in ("user", "assistant"):
            raise wrong(f"{where}.role", f"`{where}.role` is user or assistant; what a system says stands in `system`.")
        if isinstance(content, str):
            found.append({"role": role, "content": content})
        elif isinstance(content, list) and content:
            found += (_user if role == "user" else _assistant)(content, f"{where}.content")
        else:
            raise wrong(f"{where}.content", f"`{where}.content` must be a text or a list of blocks.")
    return found


def _user(blocks: list[Any], where: str) -> list[dict[str, Any]]:
    """Results of tools are turns of their own, before what the user says."""
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        path, kind = f"{where}[{i}]", kind_of(block)
        if kind == "text":
            parts.append(_text(block, path))
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": _image(block, path)}} | keeping.mark(block, path))
        elif kind == "tool_result":
            results.append(_result(block, path))
        else:
            words = f"`{path}.type` is {kind!r:.100}; taken are text, image and tool_result."
            raise wrong(f"{path}.type", words, "unsupported_parameter")
    return results + ([{"role": "user", "content": parts}] if parts else [])


def _image(block: Any, where: str) -> str:
    source = only(block, {"type", "source", _CACHE}, where).get("source")
    kind = kind_of(source)
    if kind == "base64":
        told = only(source, {"type", "media_type", "data"}, f"{where}.source")
        return f"data:{told.get('media_type')};base64,{told.get('data')}"
    if kind == "url":
        return str(only(source, {"type", "url"}, f"{where}.source").get("url"))
    raise wrong(f"{where}.source", f"`{where}.source.type` is base64 or url.", "unsupported_parameter")


def _result(block: Any, where: str) -> dict[str, Any]:
    told = only(block, {"type", "tool_use_id", "content", "is_error", _CACHE}, where)
    content = told.get("content", "")
    parts = [] if isinstance(content, str) else _texts(content, f"{where}.content")
    words = content if isinstance(content, str) else "\n".join(part["text"] for part in parts)
    turn = {"role": "tool", "tool_call_id": told.get("tool_use_id"), "content": words}
    if flag(told, "is_error"):
        turn["content"] = f"Error: {words}"
    return turn | keeping.inner(parts) | keeping.mark(told, where)


def _assistant(blocks: list[Any], where: str) -> list[dict[str, Any]]:
    texts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        path, kind = f"{where}[{i}]", kind_of(block)
        if kind == "text":
            texts.append(_text(block, path))
        elif kind == "tool_use":
            told = only(block, {"type", "id", "name", "input", _CACHE, "caller"}, path)
            arguments = orjson.dumps(told.get("input", {})).decode()
            function = {"name": told.get("name"), "arguments": arguments}
            call = {"id": told.get("id"), "type": "function", "function": function}
            calls.append(call | keeping.mark(told, path))
        elif kind not in _THOUGHTS:
            words = f"`{path}.type` is {kind!r:.100}; taken are text, tool_use and thinking."
            raise wrong(f"{path}.type", words, "unsupported_parameter")
    turn: dict[str, Any] = {"role": "assistant", "content": texts or (None if calls else "")}
    return [turn | ({"tool_calls": calls} if calls else {})]


def _tools(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tools = told.get("tools", [])
    if not isinstance(tools, list):
        raise wrong("tools", "`tools` must be a list.")
    bound(tools, sizes.MOST_TOOLS, "tools", "tools")
    if tools:
        found["tools"] = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    if (choice := told.get("tool_choice")) is None:
        return found
    asked = only(choice, {"type", "name", "disable_parallel_tool_use"}, "tool_choice")
    kind = kind_of(asked)
    if kind == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": asked.get("name")}}
    elif kind in _CHOICES:
        found["tool_choice"] = _CHOICES[kind]
    else:
        raise wrong("tool_choice.type", "`tool_choice.type` is one of auto, any, tool, none.")
    if flag(asked, "disable_parallel_tool_use"):
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if isinstance(tool, dict) and tool.get("type") not in (None, "custom"):
        words = f"`{where}.type` is a tool of Anthropic's own; only tools that the caller runs are taken."
        raise wrong(f"{where}.type", words, "unsupported_parameter")
    told = only(tool, {"type", "name", "description", "input_schema", "strict", _CACHE}, where)
    renamed = {"name": "name", "description": "description", "input_schema": "parameters", "strict": "strict"}
    function = {ours: told[theirs] for theirs, ours in renamed.items() if theirs in told}
    return {"type": "function", "function": function} | keeping.mark(told, where)
