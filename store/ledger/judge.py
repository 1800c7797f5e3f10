"""What holds of a step, judged by its row as it is locked now: a stale one may change nothing but the books."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from store.ledger import journal, supersede
from store.ledger.types.steps import Closing, End, Hold, Move, Retry, Step

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


def verdict(step: Step, row: Any) -> str:
    """`done`: an earlier commit of this very step, whose outcome we never learnt, has ended the row."""
    if row is None or row.fence != step.claim.fence or row.generation != step.claim.generation:
        return "stale"
    if row.state in {"leased", "calling"}:
        return "held"
    if isinstance(step.then, End) and row.state in TERMINAL and row.state == step.then.status.value:
        return "done"
    # `step._retry` ends a row that was cancelled
    if isinstance(step.then, Retry | Move) and row.state in {"waiting", "cancelled"}:
        return "done"
    if isinstance(step.then, Hold) and row.state in {"held", "cancelled"}:
        return "done"
    return "stale"


def noted(step: Step, row: Any) -> Step:
    """The same; the answer says if a newer request has taken this one's place while it ran, and is published if somebody
    else has asked for it meanwhile.
    """
    step.claim.quiet = bool(row.quiet)
    if row.superseded_by is None or not isinstance(step.then, End):
        return step
    return replace(step, then=replace(step.then, warnings=(*step.then.warnings, supersede.note(row.superseded_by))))


def owed(step: Step, closing: Closing) -> journal.Owed:
    """For the books: a closing with the request of its step."""
    claim = step.claim
    return journal.Owed(claim.id, claim.operation, claim.tenant, claim.run_id, claim.provider, claim.model, closing)


def wasted(closing: Closing) -> Closing:
    """The same call, paid for an answer that nobody may take any more."""
    if closing.outcome != "ok":
        return closing
    words = "the request was taken over before this answer came"
    return replace(closing, outcome="wasted", answer=None, error=words)


def parting(found: dict[int, Any], held: Sequence[Step]) -> list[Step]:
    """Steps whose rows those leave that only ask the same: they are held, or go to another model."""
    return [step for step in held if isinstance(step.then, Move | Hold) and not is_unwanted(found, step)]


def is_unwanted(found: dict[int, Any], step: Step) -> bool:
    """Somebody has cancelled it, or a newer one has taken its place, while it was called: it is not tried again."""
    row = found[step.claim.pk]
    return isinstance(step.then, Retry | Move | Hold) and (bool(row.cancel) or row.superseded_by is not None)
