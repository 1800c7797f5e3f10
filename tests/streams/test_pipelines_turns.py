"""Whose turn it is among steps, and how steps and runs end."""

import pytest

from schemas.pipelines import Pipeline, Step
from streams.runs import turns

pytestmark = pytest.mark.fast


def step(name: str = "a", *, on_error: str = "fail", maps: bool = False, after: tuple[str, ...] = ()) -> Step:
    told = {"name": name, "use": "summarize", "on_error": on_error, "after": after}
    told |= {"map": ["x"]} if maps else {}
    return Step.model_validate(told | ({"default": 1} if on_error == "default" else {}))


def test_a_step_begins_when_all_that_it_waits_for_has_ended_well() -> None:
    pipeline = Pipeline(
        name="p",
        steps=(step("a"), step("b", after=("a",)), step("c", after=("a", "b")), step("d", after=("e",)), step("e")),
    )
    told = {"a": "skipped", "b": "waiting", "c": "waiting", "d": "waiting", "e": "failed"}
    assert [each.name for each in turns.ready(pipeline, told)] == ["b"]


@pytest.mark.parametrize(
    ("on_error", "maps", "failed", "stopped", "whole", "called_off", "status"),
    [
        ("fail", False, 0, 0, True, False, "succeeded"),
        ("fail", False, 1, 0, True, False, "failed"),
        ("skip", False, 1, 0, True, False, "skipped"),
        ("default", False, 1, 0, True, False, "defaulted"),
        ("fail", False, 0, 1, True, False, "failed"),  # somebody cancelled the request alone
        ("fail", False, 0, 1, True, True, "cancelled"),
        ("skip", False, 0, 1, True, False, "skipped"),
        ("fail", True, 2, 0, False, False, "failed"),  # no more are fed behind it
        ("skip", True, 2, 0, True, False, "succeeded"),  # null stands in their places
        ("default", True, 2, 3, True, False, "succeeded"),
        ("skip", True, 2, 0, False, False, "cancelled"),  # another step has failed meanwhile
        ("fail", True, 1, 5, False, True, "failed"),
    ],
)
def test_how_a_step_ends(
    on_error: str, maps: bool, failed: int, stopped: int, whole: bool, called_off: bool, status: str
) -> None:
    made = step(on_error=on_error, maps=maps)
    assert turns.ended(made, failed=failed, stopped=stopped, whole=whole, called_off=called_off) == status


@pytest.mark.parametrize(
    ("statuses", "cancelled", "late", "status"),
    [
        (["succeeded", "skipped", "defaulted"], False, False, "succeeded"),
        (["succeeded"], True, True, "succeeded"),  # it was through before anybody looked
        (["succeeded", "failed", "waiting"], False, False, "failed"),
        (["failed", "cancelled"], True, False, "cancelled"),
        (["succeeded", "cancelled"], False, True, "expired"),
        (["failed", "cancelled"], False, True, "failed"),
    ],
)
def test_how_a_run_ends(statuses: list[str], cancelled: bool, late: bool, status: str) -> None:
    assert turns.run_ended(statuses, cancelled=cancelled, late=late) == status


def test_a_run_is_over_when_nothing_goes_on() -> None:
    assert [
        turns.over(["succeeded", "waiting"], closing=False),
        turns.over(["succeeded", "waiting"], closing=True),
        turns.over(["failed", "running"], closing=True),
        turns.over(["succeeded", "skipped"], closing=False),
    ] == [False, True, False, True]


def test_behind_a_failure_that_ends_the_run_nothing_more_is_asked() -> None:
    assert [
        turns.feeds(step(), 0, closing=False),
        turns.feeds(step(), 1, closing=False),
        turns.feeds(step(on_error="skip"), 1, closing=False),
        turns.feeds(step(on_error="skip"), 0, closing=True),
    ] == [True, False, True, False]
