"""YAML files that people write, read with the places of their parts, so that every fault is told with its line. Pure."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

MAX_BYTES = 1_000_000
_DEPTH, _NODES = 16, 50_000
Path = tuple[str | int, ...]
Marks = Mapping[Path, tuple[int, int]]
"""Where each part stands: line and column, from 1."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where; lines and columns from 1."""

    line: int
    column: int
    words: str


class Broken(Exception):
    """The file cannot be used; the message names it, and line and column of each fault."""

    def __init__(self, name: str, faults: Collection[Fault]) -> None:
        self.name, self.faults = name, sorted(faults, key=lambda fault: (fault.line, fault.column))
        told = "; ".join(f"{name}:{f.line}:{f.column}: {f.words}" for f in self.faults[:10])
        super().__init__(told)


def near(named: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Names that somebody may have meant, in any case."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(named.lower()[:200], by_lower, n=most, cutoff=0.6)
    return [by_lower[name] for name in found if by_lower[name] != named]


def read(raw: bytes, name: str, instead: str) -> tuple[Any, Marks]:
    """Plain values and their places. `instead`: what to write into a file that is empty. Raises `Broken`."""
    if len(raw) > MAX_BYTES:
        raise Broken(name, [Fault(1, 1, f"the file has {len(raw)} bytes; {MAX_BYTES} are enough")])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise Broken(name, [Fault(line, column, "this is not UTF-8; save the file as UTF-8")]) from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise Broken(name, [_marked(error)]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Broken(name, [Fault(1, 1, f"this is not YAML ({str(error).splitlines()[0]})")]) from None
    if node is None:
        raise Broken(name, [Fault(1, 1, f"the file is empty; write {instead}")])
    reader = _Reader(loader)
    written = reader.value(node, ())
    if reader.faults:
        raise Broken(name, reader.faults)
    return written, reader.marks


def at(marks: Marks, path: Path) -> tuple[int, int]:
    """The nearest place that was written down."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, (1, 1))


def faults(error: ValidationError, marks: Marks, known: Mapping[int, Collection[str]]) -> list[Fault]:
    """What a model says of the values, at their places. `known`: by how deep they stand, which names may be written there."""
    told = [(_real(each["loc"]), each) for each in error.errors(include_url=False)]
    misspelt = {path[:-1] for path, each in told if each["type"] == "extra_forbidden"}
    meant = [(path, each) for path, each in told if each["type"] != "missing" or path[:-1] not in misspelt]
    return [Fault(*at(marks, path), _sentence(path, each, known)) for path, each in meant]


def _marked(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    words = " ".join(str(part) for part in (error.context, error.problem) if part)
    return Fault(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, f"this is not YAML: {words}")


class _Reader:
    """Nodes to plain values; a name that stands twice is told, which YAML's own readers let pass."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader, self._seen = loader, 0
        self.marks: dict[Path, tuple[int, int]] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        """The node's value. Anchors that repeat themselves without end are told as too deep or too large."""
        self._seen += 1
        self.marks.setdefault(path, _place(node))
        if len(path) > _DEPTH or self._seen > _NODES:
            if not self.faults:
                self.faults.append(Fault(*_place(node), "this is nested too deeply, or repeats itself without end"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.faults.append(Fault(*_place(node), f"this is no plain value ({node.tag})"))
            return None
        plain = isinstance(value, str | int | float | bool) or value is None
        return value if plain else node.value  # a date is the text that it was written as

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(Fault(*_place(key), "a name is a text"))
                continue
            name = key.value
            if name in found:
                first = self.marks[*path, name][0]
                self.faults.append(Fault(*_place(key), f"`{name}` stands twice; the first is in line {first}"))
                continue
            self.marks[*path, name] = _place(key)
            found[name] = self.value(child, (*path, name))
        return found


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _real(loc: tuple[str | int, ...]) -> Path:
    """Without the names of branches, which stand in no file."""
    return tuple(part for part in loc if part not in {"<name>", "<more>", "[key]"})


def _sentence(path: Path, each: Any, known: Mapping[int, Collection[str]]) -> str:
    where = ".".join(str(part) for part in path)
    if each["type"] == "extra_forbidden":
        meant = near(str(path[-1]), known.get(len(path), ()))
        return f"`{path[-1]}` is not known here" + (f"; did you mean `{meant[0]}`?" if meant else "")
    words = each["msg"][0].lower() + each["msg"][1:]
    return f"`{where}`: {words}" if where else words
