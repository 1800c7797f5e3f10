"""Gives nodes to models, for providers whose nodes hold only some of them at a time (`providers.base.Placing`).

Nothing of it is on the way of a call: a claim sees slots that are open or closed. It works while something waits or runs and
there are more models than a node holds; what a node says that it holds is asked for every few seconds and never waited for.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from agents.engine import placing
from agents.engine.placing import Home, Moves, Node, Rules, Waiting
from providers.base import Placing, Provider
from store.database import Database
from store.ledger import homes
from store.ledger.homes import Board
from store.ledger.news import notify
from store.ledger.types.claims import Pool

log = structlog.get_logger(__name__)
TICK_S = 0.25
ASK_S = 3.0


class Placer:
    """`models`: those of a provider that have slots here; `is_needed`: whether something waits or runs; `look`: claim again."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, Provider],
        worker: str,
        *,
        models: Callable[[str], set[str]],
        is_needed: Callable[[str], bool],
        look: Callable[[], None],
    ) -> None:
        self.database, self._worker = database, worker
        self._models, self._is_needed, self._look = models, is_needed, look
        self.providers: dict[str, Placing] = {
            name: each for name, each in providers.items() if isinstance(each, Placing) and each.holds > 0
        }
        self.nodes: dict[tuple[str, str], Node] = {
            (name, node): Node() for name, each in self.providers.items() for node in each.nodes()
        }
        """What we know of (provider, node); times are this process's."""
        self._all = providers
        self._telling: dict[tuple[str, str], Placing] = {
            (name, node): each for name, each in providers.items() if isinstance(each, Placing) for node in each.nodes()
        }
        self._gpus: dict[tuple[str, str], bool] = {}
        """Whether a node has one, of those that have said so by a model that they hold."""
        self.first = self._gpus_first()
        """By provider: the nodes with a GPU, where others have none."""
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def used(self, pool: Pool, node: str, load_s: float) -> None:
        """A call at this node has ended. One that had to wait for its model: ask what is loaded now."""
        if (known := self.nodes.get((pool[0], node))) is None:
            return
        self.nodes[pool[0], node] = replace(
            known, used_at=time.monotonic(), load_s=load_s if load_s >= LOADED_AFTER_S else known.load_s
        )
        if load_s >= LOADED_AFTER_S:
            self._asked_at = float("-inf")

    async def tick(self) -> None:
        """Decide, where there is something to decide."""
        for name, provider in self.providers.items():
            if len(self._models(name)) > provider.holds and self._is_needed(name):
                self._ask()
                await self.settle(name)

    def _ask(self) -> None:
        """Beside everything else: a node that does not answer holds nobody up."""
        if time.monotonic() - self._asked_at >= ASK_S and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self.ask(), name="loaded-models")

    async def ask(self) -> None:
        """What every node says it holds; None where it does not answer."""
        self._asked_at = time.monotonic()
        told = await asyncio.gather(*(each.loaded(node) for (_, node), each in self._telling.items()))
        for place, loaded in zip(self._telling, told, strict=True):
            if place in self.nodes:
                self.nodes[place] = replace(self.nodes[place], loaded=None if loaded is None else frozenset(loaded))
            if loaded:
                self._gpus[place] = any(loaded.values())

        self.first = self._gpus_first()

    def _gpus_first(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for name in sorted({name for name, _ in self._telling}):
            gpus = self.gpus(name)
            has = frozenset(node for node, known in gpus.items() if known)
            if has and len(has) < len(gpus):
                found[name] = has
        return found

    def gpus(self, name: str) -> dict[str, bool | None]:
        """Whether each node of this provider has a GPU; None: it is not known."""
        provider = self._all[name]
        if not isinstance(provider, Placing):
            return dict.fromkeys(provider.nodes(), not provider.traits.on_cpu)
        return {node: node in provider.gpu_nodes or self._gpus.get((name, node)) for node in provider.nodes()}

    async def asked_gpus(self, name: str) -> dict[str, bool | None]:
        """The same; asks first where nobody is known to have one, once in some seconds."""
        if not any(self.gpus(name).values()) and time.monotonic() - self._asked_at >= ASK_S:
            await self.ask()
        return self.gpus(name)

    async def settle(self, name: str) -> None:
        """Open and close until nothing is left to do now."""
        provider, changed = self.providers[name], False
        rules = Rules(provider.holds, provider.gather_s)
        for _ in range(4):
            moves = await self.database.write(lambda conn: self._move(conn, name, rules))
            if not moves:
                break
            changed = True
            log.debug(
                "nodes were given to models", provider=name, opens=sorted(moves.opens), closes=sorted(moves.closes)
            )
        if changed:
            self._look()

    def _move(self, conn: Connection, name: str, rules: Rules) -> Moves:
        board = homes.read(conn, name)
        ahead = board.at - time.monotonic()
        nodes = {
            node: replace(known, used_at=known.used_at + ahead)
            for (provider, node), known in self.nodes.items()
            if provider == name
        }
        moves = decided(board, nodes, rules)
        if moves:
            homes.move(conn, name, board.at, moves.opens, moves.closes)
            notify(conn, self._worker)
        return moves

    async def aclose(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


LOADED_AFTER_S = 0.2
"""An Ollama calls the first 0.02-0.14 s of each call loading, whether it loads or not."""


def decided(board: Board, nodes: Mapping[str, Node], rules: Rules) -> Moves:
    """The ledger's board in the words of `placing`. Nodes that the settings no longer name are left to their last calls."""
    known = [place for place in board.places if place.node in nodes]
    waiting = {
        queue.model: Waiting(
            queue.count, queue.since, placing.due(queue.since, queue.deadline, rules.gather_s), queue.lane
        )
        for queue in board.queues
    }
    return placing.place(list(_homes(known)), waiting, nodes, board.at, rules)


def _homes(places: Iterable[homes.Place]) -> Iterable[Home]:
    return (Home(each.node, each.model, each.open, each.busy, each.opened_at) for each in places)
