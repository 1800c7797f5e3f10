"""Which of a route's targets a request goes to: conditions, weights drawn by a hash, what each target can do, and how it is.

Pure: the same request draws the same target wherever and whenever it is read; only how targets are may change the choice.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from providers.able import lacks
from providers.base import Able
from providers.calls import Kind
from providers.routes import Leg, Model, Route, Table
from schemas.routes import When


@dataclass(frozen=True, slots=True)
class Who:
    """Of a request, what conditions and draws look at. `key`: the record's; None over HTTP."""

    operation: str
    tenant: str
    lane: str
    id: str
    key: bytes | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of its model. `fields`: beyond words, as `providers.able.wants` names them."""

    kind: Kind
    fields: tuple[str, ...] = ()
    max_tokens: int | None = None
    gpu: bool = False
    moderates: bool = False
    """A model that is made for moderation does."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target in its place. `why`: a condition that the request does not meet; empty: it meets all."""

    model: Model
    why: str = ""
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A route's targets for one request, the drawn one first. `arm`: what was drawn; None: there was nothing to draw."""

    arm: str | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a target for one request: `cannot` names fields that it lacks, `unwell` says why it is passed over,
    `short` that the request is too long for it, by a guess.
    """

    cannot: tuple[str, ...] = ()
    unwell: str = ""
    short: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One target of a decision. `why` is empty for the one that is taken; `skipped`: it cannot, or is not well."""

    model: Model
    taken: bool
    why: str = ""
    cannot: tuple[str, ...] = ()
    skipped: bool = False
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`taken` None: no target can do what is asked. `left`: those that may be asked after it, in their order."""

    arm: str | None
    taken: Model | None
    left: tuple[Model, ...]
    told: tuple[Told, ...]

    def wait_s(self, model: Model) -> float | None:
        """How long it is waited for; None: until it answers."""
        return next((each.wait_s for each in self.told if each.model == model), None)


Can = Callable[[Model], bool]
"""Whether a model can do what is asked, as far as it is known."""


def order(table: Table, route: Route, who: Who, can: Can = lambda _: True) -> Order:
    """Conditions and what targets can do first, then one draw among those that are left; a route among them draws for itself."""
    drawn, standing = _draw(route, who, can)
    found: dict[Model, Candidate] = {}
    arm = None
    if drawn is not None and (len(route.targets) > 1 or drawn.arm):
        arm = drawn.arm or str(drawn.to)
    first = [] if drawn is None else [drawn]
    rest = [] if route.sticky else standing
    for leg in (*first, *rest, *route.fallbacks):
        for each in _expanded(table, leg, who, can, {route.name}):
            if each.model not in found or (found[each.model].why and not each.why):
                found.pop(each.model, None)
                found[each.model] = each
    for leg in route.targets:
        for each in _expanded(table, leg, who, can, {route.name}):
            found.setdefault(each.model, replace(each, why=each.why or _undrawn(each.model, can)))
    return Order(arm, tuple(found.values()))


def _expanded(table: Table, leg: Leg, who: Who, can: Can, seen: set[str]) -> Iterator[Candidate]:
    """The models behind a leg; a route that was seen adds nothing. The file was checked: nothing leads in a circle."""
    why = _unmet(leg.when, who)
    if isinstance(leg.to, Model):
        yield Candidate(leg.to, why, leg.wait_s)
        return
    route = table.routes[leg.to]
    if route.name in seen:
        return
    seen.add(route.name)
    drawn, standing = _draw(route, who, can)
    first = [] if drawn is None else [drawn]
    for each in (*first, *([] if route.sticky else standing), *route.fallbacks):
        for inner in _expanded(table, each, who, can, seen):
            yield replace(inner, why=why or inner.why, wait_s=leg.wait_s or inner.wait_s)


def _undrawn(model: Model, can: Can) -> str:
    return "another target was drawn" if can(model) else "it cannot do what is asked"


def _draw(route: Route, who: Who, can: Can) -> tuple[Leg | None, list[Leg]]:
    """One of the targets whose condition is met and that can do it, and the others, heaviest first. When none of them can, one
    is drawn all the same, so that it is told what it lacks.
    """
    met = [leg for leg in route.targets if leg.weight and not _unmet(leg.when, who)]
    if not met:
        return None, list(route.targets)
    fitting = [leg for leg in met if not isinstance(leg.to, Model) or can(leg.to)] or met
    point = share(route.name, stick(route.sticky, who)) * sum(leg.weight for leg in fitting)
    drawn = fitting[-1]
    for leg in fitting:
        point -= leg.weight
        if point < 0:
            drawn = leg
            break
    return drawn, sorted((leg for leg in fitting if leg is not drawn), key=lambda leg: -leg.weight)


def share(name: str, stuck: bytes) -> float:
    """From 0 to below 1, the same for the same bytes; another route draws anew."""
    found = hashlib.blake2b(name.encode() + b"\0" + stuck, digest_size=7).digest()
    return int.from_bytes(found) / (1 << 56)


def stick(sticky: str | None, who: Who) -> bytes:
    """What requests share that go to the same target; without a word about it, each has its own."""
    own = f"{who.tenant}\0{who.operation}\0{who.id}".encode()
    if sticky is None:
        return own
    if sticky == "key":
        return who.id.encode() if who.key is None else who.key
    if sticky in {"id", "tenant"}:
        return str(getattr(who, sticky)).encode()
    part, _, name = sticky.partition(".")
    found = (who.metadata if part == "metadata" else who.input).get(name)
    return own if found is None else repr(found).encode()


def _unmet(when: When | None, who: Who) -> str:
    if when is None:
        return ""
    asked = (("operations", who.operation), ("tenants", who.tenant), ("lanes", who.lane))
    for name, own in asked:
        allowed = getattr(when, name)
        if allowed is not None and own not in allowed:
            return f"only for {name} {', '.join(allowed)}"
    return ""


def cannot(needs: Needs, able: Able | None, *, on_cpu: bool = False) -> tuple[str, ...]:
    """What the request asks for and the model surely cannot do; `able` None: its provider does not say."""
    found = ["resource"] if needs.gpu and on_cpu else []
    if able is None or (needs.moderates and able.moderates):
        return tuple(found)
    if (able.chat if needs.kind == "chat" else able.embed) is False:
        found.append(needs.kind)
    found += lacks(list(needs.fields), able)
    most = longest(able)
    if needs.kind == "chat" and needs.max_tokens and most and needs.max_tokens > most:
        found.append("max_tokens")
    return tuple(found)


def longest(able: Able) -> int | None:
    """In tokens: an answer surely has no more; None: it is not known."""
    return min((most for most in (able.output_tokens, able.context_tokens) if most), default=None)


def decide(found: Order, look: Callable[[Model], Look]) -> Decision:
    """The first that can do it, is well and is long enough; else the first that can do it and is long enough, which is waited
    for; else the first that can do it, whatever the guess of its length says.
    """
    looks = {each.model: look(each.model) for each in found.candidates if not each.why}
    able = [model for model, seen in looks.items() if not seen.cannot]
    roomy = [model for model in able if not looks[model].short]
    well = [model for model in roomy if not looks[model].unwell]
    taken = next(iter(well or roomy or able), None)
    later = [model for model in (*well, *roomy) if model != taken]
    left = tuple(dict.fromkeys(later))
    told = tuple(_told(each, looks.get(each.model), taken, left) for each in found.candidates)
    return Decision(found.arm, taken, left, told)


def _told(each: Candidate, seen: Look | None, taken: Model | None, left: tuple[Model, ...]) -> Told:
    if each.model == taken:
        return Told(each.model, taken=True, wait_s=each.wait_s)
    if seen is None:
        return Told(each.model, taken=False, why=each.why)
    if seen.cannot:
        words = f"it cannot do {', '.join(f'`{name}`' for name in seen.cannot)}"
        return Told(each.model, taken=False, why=words, cannot=seen.cannot, skipped=True, wait_s=each.wait_s)
    words = seen.short or seen.unwell or "another one comes first"
    place = f"; it is number {left.index(each.model) + 1} of those asked next" if each.model in left else ""
    skipped = bool(seen.short or seen.unwell)
    return Told(each.model, taken=False, why=words + place, skipped=skipped, wait_s=each.wait_s)
