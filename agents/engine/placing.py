"""Which models may be called at which nodes, where a node holds only some of them at a time: pure, over times that are given.

A model is at home on a node when its slots there are open. Asked for a model that it does not hold, a node throws out
another, and everybody waits: so calls go to a model's home, calls for a model that has none are gathered for a while, and
then one node is given to it: first one that nobody needs, then one whose model has had its stay.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

STAYS = 10.0
"""A model stays for so many times what loading takes: at worst a tenth of the time goes to loading."""
LOAD_S = 1.0
"""What loading takes where nobody has seen one."""
URGENT, BATCH = 0, 2
"""Lanes."""
URGENT_STAYS = 2.0
"""The same where somebody is in a hurry elsewhere, and nobody here."""
STARVED_S = 600.0
"""So long without a home, and a model is given one before those that are in a hurry."""


@dataclass(frozen=True, slots=True)
class Home:
    """A model at a node. `busy`: calls under way, of all processes; `since`: when its slots were opened."""

    node: str
    model: str
    open: bool
    busy: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A model's rows that wait, of all processes: how many (about), since when, when they have been gathered enough, and the best
    lane among them.
    """

    count: int
    since: float
    due: float
    lane: int = BATCH


@dataclass(frozen=True, slots=True)
class Node:
    """`loaded`: what it says it holds; None: it does not say. `used_at`: when it last worked, as far as we know."""

    loaded: frozenset[str] | None = None
    used_at: float = 0.0
    load_s: float = LOAD_S


@dataclass(frozen=True, slots=True)
class Rules:
    """`most`: models that a node holds at a time; `gather_s`: how long rows wait before a node throws a model out for them."""

    most: int
    gather_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Moves:
    """(node, model): slots to open and to close."""

    opens: frozenset[tuple[str, str]] = frozenset()
    closes: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.opens or self.closes)


def due(since: float, deadline: float | None, gather_s: float) -> float:
    """When rows that wait since then have been gathered enough: after `gather_s`, or half of the time to the deadline."""
    return since + (gather_s if deadline is None else max(0.0, min(gather_s, (deadline - since) / 2)))


def place(
    homes: Collection[Home], waiting: Mapping[str, Waiting], nodes: Mapping[str, Node], now: float, rules: Rules
) -> Moves:
    """What to open and to close now. What is closed makes room in a later move, when nothing of it runs any more."""
    board = _Board(homes, waiting, nodes, now, rules)
    board.close_surplus()
    if len(board.models) <= rules.most:
        board.open_all()
        return board.moves()
    homeless = [model for model in board.in_turn() if not board.homes_of(model)]
    for model in homeless:
        if not board.open_where_there_is_room(model) and not board.waits_for_a_node(model):
            board.clear_a_node(model)
    if not homeless:
        board.spread()
    return board.moves()


class _Board:
    """The nodes while moves are made on them."""

    def __init__(
        self,
        homes: Collection[Home],
        waiting: Mapping[str, Waiting],
        nodes: Mapping[str, Node],
        now: float,
        rules: Rules,
    ) -> None:
        self.homes, self.waiting, self.nodes, self.now, self.rules = homes, waiting, nodes, now, rules
        self.models = {home.model for home in homes}
        self.places = {(home.node, home.model) for home in homes}
        self.open: dict[str, set[str]] = {node: set() for node in nodes}
        self.held: dict[str, set[str]] = {node: set() for node in nodes}
        """Open or busy, or closed in these very moves."""
        self.busy = {(home.node, home.model): home.busy for home in homes}
        self.since = {(home.node, home.model): home.since for home in homes}
        for home in homes:
            if home.open:
                self.open[home.node].add(home.model)
            if home.open or home.busy:
                self.held[home.node].add(home.model)
        self._opens: set[tuple[str, str]] = set()
        self._closes: set[tuple[str, str]] = set()

    def moves(self) -> Moves:
        return Moves(frozenset(self._opens), frozenset(self._closes))

    def in_turn(self) -> list[str]:
        """Models that are waited for: those in a hurry first, or long without a home, then the oldest."""
        known = [model for model in self.waiting if model in self.models]
        return sorted(known, key=lambda model: (not self._goes_first(model), self.waiting[model].since, model))

    def _goes_first(self, model: str) -> bool:
        gone = max(home.since for home in self.homes if home.model == model)
        return self._is_urgent(model) or self.now - gone >= STARVED_S

    def _is_urgent(self, model: str) -> bool:
        return model in self.waiting and self.waiting[model].lane == URGENT

    def homes_of(self, model: str) -> list[str]:
        return [node for node, models in self.open.items() if model in models]

    def _open(self, node: str, model: str) -> None:
        self.open[node].add(model)
        self.held[node].add(model)
        self._opens.add((node, model))

    def _close(self, node: str, model: str) -> None:
        self.open[node].discard(model)
        self._closes.add((node, model))

    def _has_room(self, node: str, model: str) -> bool:
        return (node, model) in self.places and len(self.held[node] | {model}) <= self.rules.most

    def _is_loaded(self, node: str, model: str) -> bool:
        loaded = self.nodes[node].loaded
        return loaded is not None and bool(loaded & {model, f"{model}:latest"})

    def open_all(self) -> None:
        """Every node holds every model: nothing is ever thrown out."""
        for node, model in sorted(self.places):
            if model not in self.open[node] and self._has_room(node, model):
                self._open(node, model)

    def close_surplus(self) -> None:
        """More than a node holds, as an earlier version or another setting left it: what nobody waits for goes first."""
        for node, models in self.open.items():
            surplus = len(models) - self.rules.most
            for model in sorted(models, key=lambda model: (model in self.waiting, self.since[node, model], model)):
                if surplus > 0:
                    self._close(node, model)
                    surplus -= 1

    def open_where_there_is_room(self, model: str) -> bool:
        """At once: where it is loaded already, else where the fewest others are."""
        able = [node for node in self.nodes if self._has_room(node, model)]
        if not able:
            return False
        self._open(min(able, key=lambda n: (not self._is_loaded(n, model), len(self.held[n]), n)), model)
        return True

    def waits_for_a_node(self, model: str) -> bool:
        """One is being cleared already: it is kept for this model, also from the one that leaves it and has got new rows."""
        for node, models in self.held.items():
            leaving = models - self.open[node]
            if leaving and (node, model) in self.places and len(self.open[node] | {model}) <= self.rules.most:
                self.held[node].add(model)
                self.open[node].add(model)
                return True
        return False

    def clear_a_node(self, model: str) -> None:
        """The one whose model is needed least, if there is one that may be taken from it now."""
        found = [
            (
                self._is_urgent(other),
                self._need(node, other),
                not self._is_loaded(node, model),
                self.nodes[node].used_at,
                node,
                other,
            )
            for node, models in self.open.items()
            if (node, model) in self.places and len(models) == len(self.held[node])
            for other in models
            if self._may_go(node, other, model)
        ]
        if found:
            *_, node, other = min(found)
            self._close(node, other)

    def _need(self, node: str, model: str) -> float:
        """The work that would have to wait for another home: none where it has one; what runs here counts as one more."""
        elsewhere = len(self.homes_of(model)) - 1
        work = self.waiting[model].count if model in self.waiting else 0
        return work / (1 + 10 * elsewhere) + min(1, self.busy[node, model])

    def _may_go(self, node: str, model: str, wanted: str) -> bool:
        """An idle node at once; one that worked a moment ago once the rows of the model that is `wanted` were gathered; one that has
        work when its model has had its stay, a short one where only what is not urgent waits for it and what is urgent for the other.
        """
        idle_s, is_due = self.now - self.nodes[node].used_at, self.now >= self.waiting[wanted].due
        if (node, model) in self._opens:
            return False
        if model not in self.waiting and not self.busy[node, model] and idle_s >= self.rules.gather_s:
            return True
        if not is_due:
            return False
        if model not in self.waiting or len(self.homes_of(model)) > 1:
            return True
        stays = URGENT_STAYS if self._is_urgent(wanted) and not self._is_urgent(model) else STAYS
        stay_s = max(self.rules.gather_s, stays * self.nodes[node].load_s)
        return self.now - self.since[node, model] >= stay_s

    def spread(self) -> None:
        """A model whose rows were gathered and still wait gets one more home, where nobody else has work."""
        for model in self.in_turn():
            here = self.homes_of(model)
            if self.now < self.waiting[model].due or self.waiting[model].count <= len(here):
                continue
            free = [
                node
                for node in self.nodes
                if node not in here
                and (node, model) in self.places
                and not any(other in self.waiting or self.busy[node, other] for other in self.held[node])
            ]
            if not free:
                continue
            node = min(free, key=lambda n: (not self._is_loaded(n, model), self.nodes[n].used_at, n))
            if self._has_room(node, model):
                self._open(node, model)
                continue
            other = min(self.open[node], key=lambda o: (self.since[node, o], o), default=None)
            idle_s = self.now - self.nodes[node].used_at
            if other is not None and idle_s >= max(self.rules.gather_s, self.nodes[node].load_s):
                self._close(node, other)
