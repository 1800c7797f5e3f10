"""Fields of a body: each is taken, or refused by its name. What is null was not said."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas import sizes
from store.ledger.types.arrivals import Kept
from streams.web.problems import Problem

_QUOTED = re.compile(r"`([^`]+)`")
_FIELD = re.compile(r"[a-z_]{1,64}")
_OURS = {
    "output_schema": "response_format",
    "json_object": "response_format",
    "texts": "input",
    "logprobs": "top_logprobs",
}
"""Our names for what callers know under another one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of this door: its model as it was named (empty: it was not), and the record that it becomes. `usage`: told in a last chunk.

    `names`: ours of what its body says under another name. `kept`: whether it can be asked for again. `background`: nobody waits
    for it.
    """

    model: str
    record: dict[str, Any]
    stream: bool = False
    usage: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    kept: Kept | None = None
    background: bool = False


def wrong(param: str | None, words: str, code: str | None = None) -> Problem:
    """400, with the field's name."""
    return Problem(400, words, param=param, code=code)


def said(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is null: clients write that for what they leave open."""
    return {name: value for name, value in body.items() if value is not None}


def only(value: Any, known: Collection[str], where: str) -> dict[str, Any]:
    """An object with no other fields than these. `where` is its path; empty: the body itself."""
    if not isinstance(value, dict):
        raise wrong(where, f"`{where}` must be an object.")
    for name, given in value.items():
        if name not in known and given is not None:
            path = f"{where}.{name}" if where else name
            raise wrong(path, f"The field `{path[:200]}` is not known here; leave it out.", "unknown_parameter")
    return said(value)


def bound(value: Any, most: int, where: str, what: str) -> None:
    """Before any of them is looked at. Raises `Problem` 400 for a list or an object that holds more."""
    if words := sizes.excess(value, most, what):
        raise wrong(where, f"`{where}` {words}.")


def bound_chat(turns: Any, where: str, most: int = sizes.MOST_TURNS, what: str = "turns") -> None:
    """The same of a chat, of the parts of each turn, and of all of them together."""
    bound(turns, most, where, what)
    for i, turn in enumerate(turns if isinstance(turns, list) else ()):
        for name in sizes.LISTS if isinstance(turn, dict) else ():
            bound(turn.get(name), sizes.MOST_PARTS, f"{where}[{i}].{name}", "parts")
    if words := sizes.together(turns):
        raise wrong(where, f"`{where}` {words}.")


def text(body: Mapping[str, Any], name: str) -> str:
    """A field that must be there and hold words."""
    found = body.get(name)
    if not isinstance(found, str) or not found.strip():
        raise wrong(name, f"`{name}` is missing; it must be a text.", "missing_required_parameter")
    return found


def kind_of(value: Any, name: str = "type") -> str:
    """What an object says that it is; empty where it says nothing that could be a name."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def flag(body: Mapping[str, Any], name: str) -> bool:
    """True or false; false where nothing is said."""
    found = body.get(name, False)
    if not isinstance(found, bool):
        raise wrong(name, f"`{name}` must be true or false.")
    return found


def refused(words: str, body: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Problem:
    """What the decoder says of our record, in the words of the body that was sent."""
    params: list[str] = []

    def told(found: re.Match[str]) -> str:
        path = path_of(found[1], body, names or {})
        params.append(path)
        return f"`{path}`"

    clear = _QUOTED.sub(told, words)
    sentences = list(dict.fromkeys(clear.removesuffix(".").split("; ")))
    known = [path for path in params if path.partition(".")[0].partition("[")[0] in body]
    return wrong(next(iter(known or params), None), f"{'; '.join(sentences)}.")


def path_of(ours: str, body: Mapping[str, Any], names: Mapping[str, str] | None = None) -> str:
    """`input.messages.1.content` as `messages[1].content`: as far as the body goes, without what only a validator sees. `names`:
    for what this body says otherwise as a whole.
    """
    parts = ours.split(".")
    while parts and parts[0] in {"input", "options", "params"} and (len(parts) > 1 or parts[0] not in body):
        parts = parts[1:]
    if not parts:
        return ours
    if names and parts[0] in names:
        return names[parts[0]]
    first = _OURS.get(parts[0], parts[0])
    if first == "max_tokens" and "max_completion_tokens" in body:
        first = "max_completion_tokens"
    if first == "top_logprobs" and first not in body:
        first = "logprobs"
    path, here = first, body.get(first)
    for i, part in enumerate(parts[1:], 2):
        if isinstance(here, list) and part.isdigit() and int(part) < len(here):
            path, here = f"{path}[{part}]", here[int(part)]
        elif isinstance(here, dict) and (part in here or (i == len(parts) and _FIELD.fullmatch(part))):
            path, here = f"{path}.{part}", here.get(part)
    return path
