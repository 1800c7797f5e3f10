"""`routes.yaml`: read with its marks, checked as a whole, and one decision of what a model's name stands for. Pure.

What a name stands for, in this order: a route of that very name; `provider/model`, where the first part is a provider; else a
model of the default provider, whose own names may hold a slash (`hf.co/…`). Inside a route its own name is the model.
A request that names its provider means that provider's model, whatever routes there are.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import ValidationError

from providers import marked
from providers.marked import Broken, Fault, Marks, near
from schemas.routes import USUAL_CAUSES, Cause, Fallback, File, Hedge, When
from schemas.routes import Route as Written
from schemas.routes import Target as WrittenTarget
from schemas.tiers import Tier


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
    tier: Tier | None = None
    hedge: Hedge | None = None
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


def parse(
    raw: bytes, name: str, providers: Collection[str], rule: Callable[[str], object] = lambda words: words
) -> Table:
    """The file's routes. `rule` raises ValueError for a guard that is none. Raises `Broken`, which names every place that is wrong."""
    written, marks = marked.read(raw, name, "`routes:` and names below it")
    try:
        file = File.model_validate(written)
    except ValidationError as error:
        raise Broken(name, marked.faults(error, marks, _KNOWN)) from None
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
        written.tier,
        written.hedge,
        tuple(written.guards),
    )


def _leg(told: str | WrittenTarget | Fallback, own: str, file: File, providers: Collection[str]) -> Leg:
    named = told if isinstance(told, str) else told.model
    model = as_model(named, providers)
    to: Model | str = named if named in file.routes and (named != own or model is None) else model or named
    if isinstance(told, WrittenTarget):
        return Leg(to, told.weight, told.arm, told.when, told.wait_s)
    return Leg(to, when=told.when, wait_s=told.wait_s) if isinstance(told, Fallback) else Leg(to)


def _legs(table: Table) -> Iterator[tuple[marked.Path, Route, Leg]]:
    for name, route in table.routes.items():
        for part, legs in (("targets", route.targets), ("fallbacks", route.fallbacks)):
            for i, leg in enumerate(legs):
                yield ("routes", name, part, i, "model"), route, leg


def _unknown(table: Table, marks: Marks, providers: Collection[str]) -> Iterator[Fault]:
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
        yield Fault(*marked.at(marks, path), words)


def _weightless(table: Table, marks: Marks) -> Iterator[Fault]:
    for name, route in table.routes.items():
        if not any(leg.weight for leg in route.targets):
            place = marked.at(marks, ("routes", name, "targets"))
            yield Fault(*place, f"`{name}`: all weights are 0, so nothing would be chosen; give one of them a weight")


def _misruled(table: Table, marks: Marks, rule: Callable[[str], object]) -> Iterator[Fault]:
    for name, route in table.routes.items():
        for i, words in enumerate(route.guards):
            try:
                rule(words)
            except ValueError as error:
                yield Fault(*marked.at(marks, ("routes", name, "guards", i)), f"`guards`: {error}")


def _loops(table: Table, marks: Marks) -> Iterator[Fault]:
    """Each loop once, at the name that closes it."""
    done: set[str] = set()
    edges: dict[str, list[tuple[str, marked.Path]]] = {name: [] for name in table.routes}
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
                    yield Fault(*marked.at(marks, path), f"these routes lead in a circle: {told}")
                elif to not in done:
                    stack.append((to, 0))
            else:
                done.add(name)
                trail.pop()
