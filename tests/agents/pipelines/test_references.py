"""What stands between `${` and `}`, and what it leads to."""

from dataclasses import dataclass
from typing import Any

import pytest

from agents.pipelines import references
from agents.pipelines.references import BadReference, Missing, Reference

pytestmark = pytest.mark.fast

VALUES: dict[str, Any] = {
    "inputs": {
        "query": "why?",
        "count": 3,
        "deep": {"a": [{"b": 1}, {"b": 2}]},
        "none": None,
        "evil": "${inputs.count}",
    },
    "item": {"text": "x"},
    "index": 4,
}


@dataclass
class Given:
    def value(self, reference: Reference) -> Any:
        return references.walk(VALUES[reference.root], reference.path, reference.text)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("${inputs.count}", 3),  # alone it keeps its type
        ("${inputs.count} of ${inputs.query}", "3 of why?"),
        ("${inputs.deep.a[1].b}", 2),
        ("${inputs.deep.a[*].b}", [1, 2]),
        ("${inputs.deep.a[*]}", [{"b": 1}, {"b": 2}]),
        ("${item.text}", "x"),
        ("at ${index}", "at 4"),
        ("${inputs.none}", None),
        ("${inputs.none.below}", None),  # behind null is null
        ("$${inputs.count} costs $5", "${inputs.count} costs $5"),
        ("${inputs.evil}", "${inputs.count}"),  # a user's text is no reference
        ("so: ${inputs.evil}", "so: ${inputs.count}"),
        ({"a": ["${inputs.count}", 1.5, None]}, {"a": [3, 1.5, None]}),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_a_value_is_what_its_references_lead_to(told: Any, found: Any) -> None:
    assert references.filled(references.read(told), Given()) == found


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("${}", "begins with none of"),
        ("${env.HOME}", "begins with none of"),
        ("${inputs}", "names no input"),
        ("${inputs.a b}", "is no path"),
        ("${inputs.a + 1}", "is no path"),
        ("${inputs.a[-1]}", "is no path"),
        ("${steps.a}", "says not what of a step"),
        ("${steps.a.result}", "says not what of a step"),
        ("${steps.a.status.x}", "a step's status is a word"),
        ("${index.x}", "is a number"),
        ("a ${inputs.a", "has no end"),
    ],
)
def test_what_is_no_reference_is_told_with_what_is(told: str, words: str) -> None:
    with pytest.raises(BadReference, match=words.replace("$", r"\$")):
        references.read(told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("${inputs.deep.b}", "there is no 'b' in it; there are a"),
        ("${inputs.deep.a[2]}", "the list has 2 items"),
        ("${inputs.query.x}", "neither list nor object before 'x'"),
        ("${inputs.query[*]}", "no list before"),
        ("so: ${inputs.deep}", "is an object and cannot stand among words"),
        ("so: ${inputs.none}", "is null and cannot stand among words"),
    ],
)
def test_what_leads_to_nothing_says_where_it_ends(told: str, words: str) -> None:
    with pytest.raises(Missing) as error:
        references.filled(references.read(told), Given())
    assert words in str(error.value)


def test_a_reference_knows_its_step() -> None:
    found = list(
        references.references(references.read({"a": ["x ${steps.one.output.y[*]}"], "b": "${steps.two.status}"}))
    )
    assert [(each.step, each.what) for each in found] == [("one", "output"), ("two", "status")]
