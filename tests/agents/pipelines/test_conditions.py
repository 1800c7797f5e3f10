"""When a step runs."""

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from agents.pipelines import conditions, references
from agents.pipelines.references import Missing, Reference
from schemas.pipelines import Condition, Step

pytestmark = pytest.mark.fast


@dataclass
class Given:
    inputs: dict[str, Any]

    def value(self, reference: Reference) -> Any:
        return references.walk(self.inputs, reference.path, reference.text)


def when(told: Any) -> Any:
    return Step.model_validate({"name": "a", "use": "join", "when": told}).when


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        (None, True),
        (True, True),
        (False, False),
        ("${inputs.n}", True),
        ("${inputs.empty}", False),
        ({"value": "${inputs.n}"}, True),
        ({"value": "${inputs.n}", "equals": 3}, True),
        ({"value": "${inputs.n}", "not_equals": 3}, False),
        ({"value": "${inputs.n}", "above": 2.5}, True),
        ({"value": "${inputs.n}", "below": 3}, False),
        ({"value": "${inputs.word}", "among": ["a", "b"]}, True),
        ({"value": "${inputs.list}", "contains": "${inputs.word}"}, True),
        ({"value": "${inputs.word}", "contains": 1}, False),
        ({"value": "${inputs.empty}", "is_empty": True}, True),
        ({"value": "${inputs.n}", "is_empty": True}, False),
        ({"value": None, "equals": None}, True),
        ({"all": [{"value": True}, {"value": "${inputs.empty}"}]}, False),
        ({"any": [{"value": True}, {"value": "${inputs.empty}"}]}, True),
        ({"not": {"value": "${inputs.n}", "equals": 3}}, False),
    ],
)
def test_a_condition_holds(told: Any, holds: bool) -> None:
    assert conditions.holds(when(told), Given({"n": 3, "word": "a", "list": ["a"], "empty": []})) is holds


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"equals": 1},
        {"value": 1, "equals": 1, "above": 0},
        {"value": 1, "all": [{"value": 1}]},
        {"all": []},
        {"value": 1, "like": 2},
        {"not": {"value": 1}, "equals": 1},
    ],
)
def test_what_says_not_one_thing_is_refused(told: Any) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(told)


def test_what_has_no_order_is_not_compared() -> None:
    with pytest.raises(Missing, match="compares a text with a number"):
        conditions.holds(when({"value": "a", "above": 1}), Given({}))
