"""How far long calls are, for whoever asks for it in any process.

Looked at once per round, all calls of the process together and in a transaction of its own. A call that is shorter than a
round is never written, so a short request costs no statement more.
"""

import time
from collections.abc import Callable

from agents.engine.caller import LedgerCaller
from store.database import Database
from store.ledger import generating
from store.ledger.types.claims import Claimed
from store.ledger.types.records import Routes
from store.ledger.types.steps import Generating

_Said = tuple[int, int]
"""Tokens and calls."""


class Teller:
    """`callers` is filled by the engine: of each row that runs its caller, or nothing as long as there is none."""

    def __init__(
        self, database: Database, routes: Routes, least_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.database, self.routes, self.least_s, self._clock = database, routes, least_s, clock
        self.callers: dict[int, list[LedgerCaller]] = {}
        self._said: dict[int, tuple[Claimed, _Said]] = {}

    async def tell(self) -> None:
        """One round. What could not be written now is written by the next one."""
        running = [caller for callers in self.callers.values() for caller in callers]
        new = [one for caller in running if (one := self._far(caller)) is not None]
        new = [one for one in new if self._before(one.claim) != (one.tokens, one.calls)]
        ended = [claim for claim, _ in self._said.values() if not self._runs(claim)]
        if not new and not ended:
            return
        await self.database.write(lambda conn: generating.say(conn, self.routes, new, ended))
        for claim in ended:
            del self._said[claim.pk]
        self._said |= {one.claim.pk: (one.claim, (one.tokens, one.calls)) for one in new}

    def _far(self, caller: LedgerCaller) -> Generating | None:
        running = caller.calling.running
        if running is None or self._clock() - running.since < self.least_s:
            return None
        tokens = caller.books.totals().output_tokens + running.tokens
        return Generating(caller.claim, tokens, caller.number, running.since)

    def _before(self, claim: Claimed) -> _Said | None:
        found = self._said.get(claim.pk)
        return found[1] if found is not None and found[0].fence == claim.fence else None

    def _runs(self, claim: Claimed) -> bool:
        return any(caller.claim.fence == claim.fence for caller in self.callers.get(claim.pk, ()))
