"""References: `${inputs.query}`, `${steps.read.output.pages[0]}`, `${steps.each.output[*].summary}`, `${item}`. Pure.

They are read once, out of the definition, into a tree; what a run puts into their places is never read again, so no text of
a user can be a reference. A value that is one reference keeps its type; among other words, it must be a text, a number or
a truth value. `$${` stands for `${` itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_FOUND = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_HEAD = re.compile(r"[a-z][a-z0-9_]*")
_PART = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,9})\]|\[(\*)\]")
EACH = object()
"""Stands for `[*]`: what follows is taken of every item of a list."""
ROOTS = ("inputs", "steps", "item", "index")


class BadReference(ValueError):
    """What stands between `${` and `}` is no reference; the message says what is."""


class Missing(LookupError):
    """A reference leads to nothing; the message says where it ends."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`root` is one of `ROOTS`; `step` is set where it is `steps`, and `what` is `output` or `status` then."""

    text: str
    root: str
    path: tuple[Any, ...] = ()
    step: str | None = None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A text with references in it."""

    parts: tuple["str | Reference", ...]


Node = Any
"""A `Reference`, `Words`, a dict or list of nodes, or a plain value."""


class Given(Protocol):
    """Where the values are."""

    def value(self, reference: Reference) -> Any:
        """What it leads to. Raises `Missing`."""


def read(value: Any) -> Node:
    """The tree of a value of a definition. Raises `BadReference`."""
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, Mapping):
        return {name: read(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [read(each) for each in value]
    return value


def _of_text(text: str) -> Node:
    parts: list[str | Reference] = []
    end = 0
    for found in _FOUND.finditer(text):
        parts.append(text[end : found.start()])
        if found.group() == "$${":
            parts.append("${")
        elif found.group(1) is None:
            raise BadReference(
                f"{text[found.start() :][:60]!r} has no end; close it with }}, or write $${{ for the two signs"
            )
        else:
            parts.append(one(found.group(1)))
        end = found.end()
    parts.append(text[end:])
    kept = tuple(part for part in parts if part != "")
    if not any(isinstance(part, Reference) for part in kept):
        return "".join(str(part) for part in kept)
    return kept[0] if len(kept) == 1 else Words(kept)


def one(inside: str) -> Reference:
    """What stands between `${` and `}`. Raises `BadReference`."""
    text = f"${{{inside}}}"
    head = _HEAD.match(inside)
    if head is None or head.group() not in ROOTS:
        raise BadReference(
            f"{text} begins with none of {', '.join(ROOTS)}; write ${{inputs.NAME}} or ${{steps.NAME.output}}"
        )
    path, at = [], head.end()
    while at < len(inside):
        part = _PART.match(inside, at)
        if part is None:
            raise BadReference(f"{text}: {inside[at:]!r} is no path; write .name, [0] or [*]")
        path.append(part.group(1) or (EACH if part.group(3) else int(part.group(2))))
        at = part.end()
    return _rooted(text, head.group(), tuple(path))


def _rooted(text: str, root: str, path: tuple[Any, ...]) -> Reference:
    if root == "inputs" and not (path and isinstance(path[0], str)):
        raise BadReference(f"{text} names no input; write ${{inputs.NAME}}")
    if root == "index" and path:
        raise BadReference(f"{text}: ${{index}} is a number and has nothing in it")
    if root != "steps":
        return Reference(text, root, path)
    if len(path) < 2 or not isinstance(path[0], str) or path[1] not in ("output", "status"):
        raise BadReference(f"{text} says not what of a step; write ${{steps.NAME.output}} or ${{steps.NAME.status}}")
    if path[1] == "status" and len(path) > 2:
        raise BadReference(f"{text}: a step's status is a word and has nothing in it")
    return Reference(text, root, path[2:], path[0], path[1])


def references(node: Node) -> Iterator[Reference]:
    """All of a tree."""
    if isinstance(node, Reference):
        yield node
    elif isinstance(node, Words):
        yield from (part for part in node.parts if isinstance(part, Reference))
    elif isinstance(node, Mapping):
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def filled(node: Node, given: Given) -> Any:
    """The tree's value. Raises `Missing`."""
    if isinstance(node, Reference):
        return given.value(node)
    if isinstance(node, Words):
        return "".join(part if isinstance(part, str) else _said(part, given) for part in node.parts)
    if isinstance(node, Mapping):
        return {name: filled(each, given) for name, each in node.items()}
    if isinstance(node, list):
        return [filled(each, given) for each in node]
    return node


def _said(reference: Reference, given: Given) -> str:
    value = filled(reference, given)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    kind = "null" if value is None else "a list" if isinstance(value, list) else "an object"
    raise Missing(f"{reference.text} is {kind} and cannot stand among words; give it alone")


def walk(value: Any, path: Sequence[Any], text: str) -> Any:
    """What lies at the end of the path; behind null is null, as behind what a skipped step would have said. Raises `Missing`."""
    for number, part in enumerate(path):
        if value is None:
            return None
        if part is EACH:
            if not isinstance(value, list):
                raise Missing(f"{text}: there is no list before [*]")
            return [walk(each, path[number + 1 :], text) for each in value]
        value = _below(value, part, text)
    return value


def _below(value: Any, part: Any, text: str) -> Any:
    if isinstance(part, int) and isinstance(value, list):
        if part < len(value):
            return value[part]
        raise Missing(f"{text}: the list has {len(value)} items, and [{part}] is none of them")
    if isinstance(part, str) and isinstance(value, Mapping):
        if part in value:
            return value[part]
        raise Missing(f"{text}: there is no {part!r} in it; there are {', '.join(map(str, value)) or 'no fields'}")
    raise Missing(f"{text}: there is neither list nor object before {part!r}")
