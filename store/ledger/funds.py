"""The money of steps: what their calls have cost is settled, and what the next ones may cost is reserved before they begin."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from schemas.errors import Failure
from store.ledger.budgeting import pack, unpack
from store.ledger.judge import TERMINAL
from store.ledger.purse import Moves, Purse
from store.ledger.types.steps import Closing, End, Step


class Funds:
    """What the steps of a part cost, and what their calls may cost: settled, and reserved from the purse."""

    def __init__(self, purse: Purse, found: dict[int, Any]) -> None:
        self.purse, self.found, self.moves = purse, found, Moves()
        self.begun: list[Step] = []
        """Those whose calls may begin, with the budgets of each."""
        self.refused: dict[int, Failure] = {}
        self.holds: dict[int, tuple[str | None, int]] = {}

    def take(self, step: Step, verdict: str, ended: Sequence[tuple[str | None, Closing]]) -> None:
        """`ended`: its closings that nobody has booked before, each with the budgets of its call."""
        row = self.found.get(step.claim.pk)
        if row is not None and (row.generation != step.claim.generation or row.state in TERMINAL):
            row = None
        left = self.moves.settle(row, ended)
        if row is None:
            return
        if verdict == "held" and isinstance(step.then, End):
            self.moves.release(row.budgets, left)
            return
        if left != (row.budget_nano or 0):
            self._keep(step.claim.pk, row.budgets, left)
        if verdict == "held" and step.opens is not None and not row.cancel:
            self._begin(step, row, left)

    def _keep(self, pk: int, budgets: str | None, nano: int) -> None:
        self.moves.hold(pk, budgets, nano)
        self.holds[pk] = budgets, nano

    def _begin(self, step: Step, row: Any, left: int) -> None:
        """A call begins: its row holds what it may cost, under the budgets that concern it now and under no others."""
        assert step.opens is not None
        if step.opens.estimate_nano != 0:
            self.purse.check(row.budgets_version)
        ids, old = self.purse.of_call(step), unpack(row.budgets)
        if not ids:
            self.begun.append(step)
            return
        needed = step.opens.held_nano
        wanted = None if needed is None else max(needed, left)
        if needed is None or needed > left or pack(ids) != row.budgets:
            if (failure := self.purse.reserve(ids, wanted, held=left, under=old)) is not None:
                self.refused[step.claim.pk] = failure
                return
            self.moves.add(set(old) - set(ids), reserved=-left)
            left = left if wanted is None else wanted
            self._keep(step.claim.pk, pack(ids), left)
        self.begun.append(replace(step, opens=replace(step.opens, budgets=pack(ids))))
