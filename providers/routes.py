"""`routes.yaml`: read with its marks, checked as a whole, and one decision of what a model's name stands for. Pure.

What a name stands for, in this order: a route of that very name; `provider/model`, where the first part is a provider; else a
model of the default provider, whose own names may hold a slash (`hf.co/…`). Inside a route its own name is the model.
A request that names its provider means that provider's model, whatever routes there are.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.routes import USUAL_CAUSES, Cause, Fallback, File, When
from schemas.routes import Route as Written
from schemas.routes import Target as WrittenTarget

MAX_BYTES = 1_000_000
_DEPTH, _NODES = 16, 50_000
_Path = tuple[str | int, ...]


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


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Leg:
    """One way that a route may take: a model, or another route's name."""

    to: Model | str
    weight: float = 1.0
    arm: str | None = None
    when: When | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A name that people call; see `schemas.routes.Route`."""

    name: str
    targets: tuple[Leg, ...]
    fallbacks: tuple[Leg, ...] = ()
    sticky: str | None = None
    causes: tuple[Cause, ...] = USUAL_CAUSES
    rate_limited_after_s: float = 5.0
    max_waiting: int | None = None
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """All routes."""

    routes: Mapping[str, Route] = field(default_factory=lambda: MappingProxyType({}))


def resolve(named: str, table: Table, providers: Collection[str], default: str) -> Route | Model:
    """What a model's name stands for; every door asks this."""
    found = table.routes.get(named)
    return found if found is not None else as_model(named, providers) or Model(default, named)


def as_model(named: str, providers: Collection[str]) -> Model | None:
    """`provider/model`, if its first part is a provider."""
    provider, slash, model = named.partition("/")
    return Model(provider, model) if slash and model and provider in providers else None


def models(table: Table, route: Route) -> list[Model]:
    """All that a route may lead to, each once."""
    found: dict[Model, None] = {}
    seen, waiting = {route.name}, [route]
    while waiting:
        each = waiting.pop(0)
        for leg in (*each.targets, *each.fallbacks):
            if isinstance(leg.to, Model):
                found[leg.to] = None
            elif leg.to not in seen:
                seen.add(leg.to)
                waiting.append(table.routes[leg.to])
    return list(found)


def guards(table: Table, route: Route) -> tuple[str, ...]:
    """Its rules and those of every route that it may lead through, each once."""
    found: dict[str, None] = {}
    seen, waiting = {route.name}, [route]
    while waiting:
        each = waiting.pop(0)
        found |= dict.fromkeys(each.guards)
        for leg in (*each.targets, *each.fallbacks):
            if isinstance(leg.to, str) and leg.to not in seen:
                seen.add(leg.to)
                waiting.append(table.routes[leg.to])
    return tuple(found)


def near(named: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Names that somebody may have meant, in any case."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(named.lower()[:200], by_lower, n=most, cutoff=0.6)
    return [by_lower[name] for name in found if by_lower[name] != named]


def parse(
    raw: bytes, name: str, providers: Collection[str], rule: Callable[[str], object] = lambda words: words
) -> Table:
    """The file's routes. `rule` raises ValueError for a guard that is none. Raises `Broken`, which names every place that is wrong."""
    written, marks = _read(raw, name)
    try:
        file = File.model_validate(written)
    except ValidationError as error:
        raise Broken(name, _faults(error, marks)) from None
    routes = {named: _route(named, told, file, providers) for named, told in file.routes.items()}
    table = Table(MappingProxyType(routes))
    if faults := [
        *_unknown(table, marks, providers),
        *_weightless(table, marks),
        *_loops(table, marks),
        *_misruled(table, marks, rule),
    ]:
        raise Broken(name, faults)
    return table


# ---- reading with marks


def _read(raw: bytes, name: str) -> tuple[Any, dict[_Path, tuple[int, int]]]:
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
        raise Broken(name, [Fault(1, 1, "the file is empty; write `routes:` and names below it")])
    reader = _Reader(loader)
    written = reader.value(node, ())
    if reader.faults:
        raise Broken(name, reader.faults)
    return written, reader.marks


def _marked(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    words = " ".join(str(part) for part in (error.context, error.problem) if part)
    return Fault(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, f"this is not YAML: {words}")


class _Reader:
    """Nodes to plain values; a name that stands twice is told, which YAML's own readers let pass."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader, self._seen = loader, 0
        self.marks: dict[_Path, tuple[int, int]] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: _Path) -> Any:
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
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: _Path) -> dict[str, Any]:
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


def _at(marks: Mapping[_Path, tuple[int, int]], path: _Path) -> tuple[int, int]:
    """The nearest place that was written down."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, (1, 1))


def _faults(error: ValidationError, marks: Mapping[_Path, tuple[int, int]]) -> list[Fault]:
    told = [(_real(each["loc"]), each) for each in error.errors(include_url=False)]
    misspelt = {path[:-1] for path, each in told if each["type"] == "extra_forbidden"}
    meant = [(path, each) for path, each in told if each["type"] != "missing" or path[:-1] not in misspelt]
    return [Fault(*_at(marks, path), _sentence(path, each)) for path, each in meant]


def _real(loc: tuple[str | int, ...]) -> _Path:
    """Without the names of branches, which stand in no file."""
    return tuple(part for part in loc if part not in {"<name>", "<more>", "[key]"})


def _sentence(path: _Path, each: Any) -> str:
    where = ".".join(str(part) for part in path)
    if each["type"] == "extra_forbidden":
        known = _KNOWN.get(len(path), ())
        meant = near(str(path[-1]), known)
        return f"`{path[-1]}` is not known here" + (f"; did you mean `{meant[0]}`?" if meant else "")
    words = each["msg"][0].lower() + each["msg"][1:]
    return f"`{where}`: {words}" if where else words


_KNOWN: dict[int, tuple[str, ...]] = {
    1: tuple(File.model_fields),
    3: tuple(Written.model_fields),
    5: tuple(WrittenTarget.model_fields),
    6: tuple(When.model_fields),
}
"""By how deep they stand: what may be written there."""


# ---- the routes


def _route(name: str, told: str | Written, file: File, providers: Collection[str]) -> Route:
    written = Written(targets=[told]) if isinstance(told, str) else told
    return Route(
        name,
        tuple(_leg(each, name, file, providers) for each in written.targets),
        tuple(_leg(each, name, file, providers) for each in written.fallbacks),
        written.sticky,
        tuple(written.fall_back_on),
        written.rate_limited_after_s,
        written.max_waiting,
        tuple(written.guards),
    )


def _leg(told: str | WrittenTarget | Fallback, own: str, file: File, providers: Collection[str]) -> Leg:
    named = told if isinstance(told, str) else told.model
    model = as_model(named, providers)
    to: Model | str = named if named in file.routes and (named != own or model is None) else model or named
    if isinstance(told, WrittenTarget):
        return Leg(to, told.weight, told.arm, told.when, told.wait_s)
    return Leg(to, when=told.when, wait_s=told.wait_s) if isinstance(told, Fallback) else Leg(to)


def _legs(table: Table) -> Iterator[tuple[_Path, Route, Leg]]:
    for name, route in table.routes.items():
        for part, legs in (("targets", route.targets), ("fallbacks", route.fallbacks)):
            for i, leg in enumerate(legs):
                yield ("routes", name, part, i, "model"), route, leg


def _unknown(table: Table, marks: Mapping[_Path, tuple[int, int]], providers: Collection[str]) -> Iterator[Fault]:
    for path, _, leg in _legs(table):
        if not isinstance(leg.to, str) or leg.to in table.routes:
            continue
        head, slash, rest = leg.to.partition("/")
        if slash and rest and head not in providers:
            meant = near(head, providers)
            known = f"did you mean `{meant[0]}`?" if meant else f"known are {', '.join(sorted(providers))}"
            words = f"`{leg.to}`: there is no provider `{head}`; {known}"
        else:
            meant = near(leg.to, table.routes)
            known = f"did you mean `{meant[0]}`?" if meant else "write `provider/model`"
            words = f"`{leg.to}` is neither a route of this file nor `provider/model`; {known}"
        yield Fault(*_at(marks, path), words)


def _weightless(table: Table, marks: Mapping[_Path, tuple[int, int]]) -> Iterator[Fault]:
    for name, route in table.routes.items():
        if not any(leg.weight for leg in route.targets):
            place = _at(marks, ("routes", name, "targets"))
            yield Fault(*place, f"`{name}`: all weights are 0, so nothing would be chosen; give one of them a weight")


def _misruled(table: Table, marks: Mapping[_Path, tuple[int, int]], rule: Callable[[str], object]) -> Iterator[Fault]:
    for name, route in table.routes.items():
        for i, words in enumerate(route.guards):
            try:
                rule(words)
            except ValueError as error:
                yield Fault(*_at(marks, ("routes", name, "guards", i)), f"`guards`: {error}")


def _loops(table: Table, marks: Mapping[_Path, tuple[int, int]]) -> Iterator[Fault]:
    """Each loop once, at the name that closes it."""
    done: set[str] = set()
    edges: dict[str, list[tuple[str, _Path]]] = {name: [] for name in table.routes}
    for path, route, leg in _legs(table):
        if isinstance(leg.to, str) and leg.to in table.routes:
            edges[route.name].append((leg.to, path))
    for start in table.routes:
        trail: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, at = stack.pop()
            if at == 0:
                if name in done:
                    continue
                trail.append(name)
            if at < len(edges[name]):
                stack.append((name, at + 1))
                to, path = edges[name][at]
                if to in trail:
                    told = " → ".join(f"`{each}`" for each in (*trail[trail.index(to) :], to))
                    yield Fault(*_at(marks, path), f"these routes lead in a circle: {told}")
                elif to not in done:
                    stack.append((to, 0))
            else:
                done.add(name)
                trail.pop()
