"""Pipelines as pictures."""

import pytest

from agents.pipelines import defining, drawing
from schemas.pipelines import Declared, Pipeline, Step

pytestmark = pytest.mark.fast


def test_a_pipeline_is_drawn() -> None:
    digest = defining.load().pipelines["digest"]
    assert drawing.mermaid(digest).splitlines()[:2] == [
        "flowchart TD",
        '    each[["each<br/>summarize for each item"]]',
    ]
    assert "    together --> whole" in drawing.mermaid(digest).splitlines()
    assert drawing.plain(digest).splitlines()[-3:] == [
        "  each      summarize for each item",
        "  together  join  after each",
        "  whole     summarize  after together",
    ]


def test_steps_stand_in_an_order_in_which_they_can_run() -> None:
    steps = (
        Step(name="b", use="unique", with_={"items": "${steps.a.output}"}, when="${inputs.x}", on_error="skip"),
        Step(name="a", use="unique", with_={"items": []}),
    )
    found = Pipeline(name="p", inputs={"x": Declared(type="boolean", default=True)}, steps=steps)
    assert drawing.plain(found).splitlines() == [
        "p",
        "  input x: boolean, default True",
        "  a  unique",
        "  b  unique when a condition holds, skipped if it fails  after a",
    ]
