"""A definition's YAML with the place of everything in it, so that what is wrong is told by line and column."""

from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Place:
    """From 1, as editors count."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """The value, and where each part of it stands."""

    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """Of the nearest thing that stands there."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))


class BadYaml(ValueError):
    """It is no YAML that a definition may be; `place` says where."""

    def __init__(self, words: str, place: Place) -> None:
        super().__init__(words)
        self.place = place


def load(text: str) -> Document:
    """Raises `BadYaml`."""
    try:
        # a loader that makes plain values only; it is told not to follow, but to give the tree
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise BadYaml(f"is no YAML: {error.problem or error.context}", _mark(error.problem_mark)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadYaml(f"is no YAML: {str(error) or 'it is nested too deeply'}", Place(1, 1)) from error
    if node is None:
        raise BadYaml("is empty; write `name:` and `steps:`", Place(1, 1))
    found = Document()
    found.value = _value(node, (), found, set())
    return found


def _value(node: yaml.Node, path: Path, into: Document, seen: set[int]) -> Any:
    into.places.setdefault(path, _mark(node.start_mark))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if id(node) in seen or len(path) > _DEEPEST:
        raise BadYaml("stands here by an anchor, or too deep; write it out", _mark(node.start_mark))
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*path, number), into, seen) for number, each in enumerate(node.value)]
    assert isinstance(node, yaml.MappingNode)
    made: dict[str, Any] = {}
    for key, each in node.value:
        name = _key(key)
        if name in made:
            raise BadYaml(f"{name!r} stands twice; keep one", _mark(key.start_mark))
        into.places[*path, name] = _mark(key.start_mark)
        made[name] = _value(each, (*path, name), into, seen)
    return made


def _scalar(node: yaml.ScalarNode) -> Any:
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise BadYaml(f"is no plain value ({node.tag})", _mark(node.start_mark)) from error
    plain = isinstance(value, str | int | float | bool) or value is None
    return value if plain else str(node.value)  # a date is the text that it was written as


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":merge"):
        raise BadYaml("is no plain name of a field", _mark(node.start_mark))
    return str(node.value)


def _mark(mark: yaml.Mark | None) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)
