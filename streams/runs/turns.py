"""Whose turn it is among a run's steps, and how steps and runs end: pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from agents.pipelines import checking
from schemas.pipelines import Pipeline, Step

WELL = frozenset({"succeeded", "skipped", "defaulted"})
OVER = WELL | {"failed", "cancelled"}
_MEANS = {"fail": "failed", "skip": "skipped", "default": "defaulted"}


def ready(pipeline: Pipeline, statuses: Mapping[str, str]) -> list[Step]:
    """Steps that may begin: what they wait for has ended well."""
    well = {name for name, status in statuses.items() if status in WELL}
    return [step for step in pipeline.steps if statuses[step.name] == "waiting" and checking.needs(step) <= well]


def failing(step: Step) -> str:
    """What a step is that failed as a whole."""
    return _MEANS[step.on_error]


def feeds(step: Step, failed: int, *, closing: bool) -> bool:
    """Whether more of its items become requests: not behind one that ends the run."""
    return not closing and not (failed and step.on_error == "fail")


def ended(step: Step, *, failed: int, stopped: int, whole: bool, called_off: bool) -> str:
    """How a step ended of which nothing runs any more. `stopped`: cancelled or expired items; `whole`: all its items had their
    turn; `called_off`: the run was cancelled, or its deadline has passed.
    """
    if failed and step.on_error == "fail":
        return "failed"
    if not whole or (stopped and called_off):
        return "cancelled"
    if not failed + stopped or (step.maps and step.on_error != "fail"):
        return "succeeded"
    return failing(step)


def over(statuses: Iterable[str], *, closing: bool) -> bool:
    """Whether nothing of a run goes on. `closing`: no step begins any more."""
    found = set(statuses)
    return "running" not in found and (closing or "waiting" not in found)


def run_ended(statuses: Iterable[str], *, cancelled: bool, late: bool) -> str:
    """How a run ended by its steps; `late`: its deadline has passed."""
    found = list(statuses)
    if all(status in WELL for status in found):
        return "succeeded"
    if cancelled:
        return "cancelled"
    return "expired" if late and "failed" not in found else "failed"


def figures(rows: Iterable[Any]) -> dict[str, int]:
    """What a run counts by its steps."""
    found = list(rows)
    return {
        "succeeded": sum(row.status in WELL for row in found),
        "failed": sum(row.status == "failed" for row in found),
        "stopped": sum(row.status == "cancelled" for row in found),
        "cost_nano": sum(row.cost_nano for row in found),
        "tokens": sum(row.tokens for row in found),
    }
