"""Items of a response and turns of a chat, each out of the other. Pure.

Taken without effect are only the ids and states of items that are sent back, and thoughts, which no model is shown again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas import sizes
from streams.web.openai.fields import bound_chat, kind_of, only, wrong

ROLES = ("user", "assistant", "system", "developer")
_KNOWN = "message, function_call, function_call_output and reasoning"
_SENT_BACK = frozenset({"type", "id", "status"})
_DETAILS = ("auto", "low", "high")

Turn = dict[str, Any]


def turns(given: Any) -> list[Turn]:
    """What `input` says. Raises `Problem` 400 that names the item."""
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise wrong("input", "`input` must be a text or a list of at least one item.", "missing_required_parameter")
    bound_chat(given, "input", sizes.MOST_PARTS_TOGETHER, "items")
    found: list[Turn] = []
    for i, item in enumerate(given):
        _take(found, item, f"input[{i}]")
    if not found:
        raise wrong("input", "`input` holds only thoughts; send what is to be answered.")
    return found


def _take(found: list[Turn], item: Any, where: str) -> None:
    kind = kind_of(item) or ("message" if isinstance(item, dict) and "role" in item else "")
    if kind == "message":
        found.append(_message(item, where))
    elif kind == "function_call":
        _call(found, item, where)
    elif kind == "function_call_output":
        found.append(_output(item, where))
    elif kind != "reasoning":
        words = f"`{where}.type` is {kind!r:.100}; taken are {_KNOWN}."
        raise wrong(f"{where}.type", words, "unsupported_parameter")


def _message(item: Any, where: str) -> Turn:
    told = only(item, _SENT_BACK | {"role", "content", "phase"}, where)
    role, content = told.get("role"), told.get("content")
    if role not in ROLES:
        raise wrong(f"{where}.role", f"`{where}.role` is one of {', '.join(ROLES)}.")
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list) or not content:
        raise wrong(f"{where}.content", f"`{where}.content` must be a text or a list of at least one part.")
    parts = [_part(part, f"{where}.content[{i}]", role) for i, part in enumerate(content)]
    plain = all(part["type"] == "text" for part in parts)
    return {"role": role, "content": "\n".join(part["text"] for part in parts) if plain else parts}


def _part(part: Any, where: str, role: str) -> dict[str, Any]:
    kind = kind_of(part)
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": _words(part, "text", {"type", "text", "annotations", "logprobs"}, where)}
    if kind == "refusal":
        return {"type": "text", "text": _words(part, "refusal", {"type", "refusal"}, where)}
    if kind == "input_image" and role == "user":
        return _image(part, where)
    words = f"`{where}.type` is {kind!r:.100}; taken are input_text, output_text, and input_image of a user."
    raise wrong(f"{where}.type", words, "unsupported_parameter")


def _words(value: Any, name: str, known: Iterable[str], where: str) -> str:
    found = only(value, set(known), where).get(name)
    if not isinstance(found, str):
        raise wrong(f"{where}.{name}", f"`{where}.{name}` must be a text.")
    return found


def _image(part: Any, where: str) -> dict[str, Any]:
    told = only(part, {"type", "image_url", "detail"}, where)
    url, detail = told.get("image_url"), told.get("detail", "auto")
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        words = f"`{where}.image_url` must be an address (https:) or the picture itself (data:image/…)."
        raise wrong(f"{where}.image_url", words)
    if detail not in _DETAILS:
        raise wrong(f"{where}.detail", f"`{where}.detail` is one of {', '.join(_DETAILS)}.")
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def _call(found: list[Turn], item: Any, where: str) -> None:
    """Calls that stand together, and the words before them, are one turn."""
    told = only(item, _SENT_BACK | {"call_id", "name", "arguments"}, where)
    named = {name: _text(told, name, where) for name in ("call_id", "name")}
    arguments = told.get("arguments")
    if not isinstance(arguments, str):
        raise wrong(f"{where}.arguments", f"`{where}.arguments` must be a text: JSON as the model wrote it.")
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": None})
    function = {"name": named["name"], "arguments": arguments}
    found[-1].setdefault("tool_calls", []).append({"id": named["call_id"], "type": "function", "function": function})


def _text(told: Mapping[str, Any], name: str, where: str) -> str:
    found = told.get(name)
    if not isinstance(found, str) or not found:
        raise wrong(f"{where}.{name}", f"`{where}.{name}` is missing; it must be a text.")
    return found


def _output(item: Any, where: str) -> Turn:
    told = only(item, _SENT_BACK | {"call_id", "output", "name"}, where)
    id_, output = _text(told, "call_id", where), told.get("output")
    if isinstance(output, list):
        parts = [_part(part, f"{where}.output[{i}]", "tool")["text"] for i, part in enumerate(output)]
        return {"role": "tool", "tool_call_id": id_, "content": "\n".join(parts)}
    if not isinstance(output, str):
        raise wrong(f"{where}.output", f"`{where}.output` must be a text or a list of text parts.")
    return {"role": "tool", "tool_call_id": id_, "content": output}


def check(chat: Sequence[Turn]) -> None:
    """Raises `Problem` 400 for the output of a call that nobody has made."""
    made: set[str] = set()
    for turn in chat:
        made |= {call["id"] for call in turn.get("tool_calls", ())}
        if turn["role"] == "tool" and turn["tool_call_id"] not in made:
            words = f"No function_call before has the call_id {turn['tool_call_id']!r:.100}, whose output is sent; send it too."
            raise wrong("input", words)


def said(choice: Mapping[str, Any]) -> Turn:
    """An answer as a turn of the chat that goes on."""
    turn: Turn = {"role": "assistant", "content": choice["content"] or choice["refusal"] or ""}
    if choice["tool_calls"]:
        turn |= {"content": turn["content"] or None, "tool_calls": choice["tool_calls"]}
    return turn


def listed(chat: Sequence[Turn], mark: str) -> list[dict[str, Any]]:
    """Turns as the items of an `input`, each with an id."""
    found = [item for turn in chat for item in _listed(turn)]
    kinds = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}
    return [
        {"id": f"{kinds[item['type']]}_{mark}_in{i}", **item, "status": "completed"} for i, item in enumerate(found)
    ]


def _listed(turn: Turn) -> Iterable[dict[str, Any]]:
    content = turn.get("content")
    if turn["role"] == "tool":
        yield {"type": "function_call_output", "call_id": turn["tool_call_id"], "output": content}
        return
    if content is not None:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        yield {"type": "message", "role": turn["role"], "content": [_shown(part, turn["role"]) for part in parts]}
    for call in turn.get("tool_calls", ()):
        asked = call["function"]
        yield {"type": "function_call", "call_id": call["id"], "name": asked["name"], "arguments": asked["arguments"]}


def _shown(part: Mapping[str, Any], role: str) -> dict[str, Any]:
    if part["type"] == "image_url":
        picture = part["image_url"]
        return {"type": "input_image", "image_url": picture["url"], "detail": picture["detail"]}
    if role == "assistant":
        return {"type": "output_text", "text": part["text"], "annotations": []}
    return {"type": "input_text", "text": part["text"]}
