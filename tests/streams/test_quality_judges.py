"""The judges of the quality bench: each of made-up answers to made-up texts."""

from dataclasses import replace
from typing import Any

import pytest

from streams.quality.figures import Figure, Judged
from streams.quality.forms import fits
from streams.quality.judges import JUDGES
from streams.quality.score import score
from streams.quality.texts import Difference, Question, Report, Rewriting, Text, sources, texts
from streams.quality.words import copied, figures, invents, says
from tests.streams.answers import as_labelled, entity, failed, prompted, succeeded

pytestmark = pytest.mark.fast

_TEXT = Text(
    id="t-1",
    content="Norvale paid $1,200 in The Hague on Monday.",
    category="merger",
    entities={"organization": ["Norvale"], "location": ["The Hague"], "money": ["$1,200"]},
    must=[["$1,200", "1200 dollars"], ["paid", "pay"]],
    must_not=["$12", "sold"],
    question=Question("Who paid?", ["Norvale"]),
    sought=Question("When was it paid?", ["Monday"]),
    report=Report("On Friday $1,200 was paid in The Hague by Norvale.", [Difference(["Monday"], ["Friday"])]),
    rewriting=Rewriting("Leave out the place.", [["Norvale"], ["1,200", "1200"]], ["Hague"]),
)


def counted(judged: Judged) -> dict[str, tuple[int, int]]:
    return {each.name: (each.right, each.of) for each in judged.figures}


def judge(operation: str, **output: Any) -> dict[str, tuple[int, int]]:
    return counted(JUDGES[operation]([(_TEXT, output)]))


def test_categories_are_counted() -> None:
    pairs = [(_TEXT, {"category": given}) for given in ("merger", "economy", "weather")]
    assert JUDGES["classify"]([*pairs, (_TEXT, None)]).figures == [
        Figure("asked for", 2, 3, promise=True),  # weather was not
        Figure("accuracy", 1, 4),  # a failure is not right
    ]


def test_entities_are_counted_once_each_with_or_without_their_article() -> None:
    found = [
        entity("organization", "Norvale", 0),
        entity("organization", "Norvale", 0),
        entity("location", "Hague", 27),
        entity("person", "Norvale", 3),  # wrong type, wrong place
    ]
    judged = JUDGES["extract"]([(_TEXT, {"entities": found})])
    assert judged.figures == [
        Figure("grounded", 3, 4, promise=True),
        Figure("precision", 2, 3),  # Norvale, Hague of those and the person
        Figure("recall", 2, 3),  # the money is missing
    ]
    assert judged.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("summary", "facts", "clean", "true"),
    [
        ("It paid $1,200.", 2, 1, 1),
        ("PAYS 1200 dollars", 2, 1, 1),
        ("It sold for $12.", 0, 0, 0),  # 12 is no figure of the text, nor is $12 the beginning of $1,200
        ("It repaid $1,2005.", 0, 1, 0),  # from the beginning of a word, to the end of a figure
    ],
)
def test_facts_are_looked_for_in_a_summary(summary: str, facts: int, clean: int, true: int) -> None:
    assert judge("summarize", summary=summary) == {
        "within length": (1, 1),
        "facts": (facts, 2),
        "no false fact": (clean, 1),
        "no invented figure": (true, 1),
    }


@pytest.mark.parametrize(
    ("similarities", "differences", "named", "agreed", "true"),
    [
        (["Both paid $1,200."], ["Text 1 says Monday, text 2 Friday."], 1, 1, 1),
        (["Both paid."], ["Text 1: on Monday", "Text 2: on Friday"], 1, 1, 1),  # one point for each side will do
        (["Both paid."], ["They differ in the day: Monday."], 0, 1, 1),
        (["Both paid on Monday."], [], 0, 0, 1),  # it was Friday in one of them
        (["Monday here, Friday there"], [], 0, 1, 1),  # told apart, if in the wrong place
        (["Both paid $13."], ["Monday and Friday"], 1, 1, 0),
    ],
)
def test_differences_are_named_by_both_sides(
    similarities: list[str], differences: list[str], named: int, agreed: int, true: int
) -> None:
    said = {"similarities": similarities, "differences": differences, "verdict": "", "similarity": 0.5}
    assert judge("compare", **said) == {
        "from 0 to 1": (1, 1),
        "differences": (named, 1),
        "no false agreement": (agreed, 1),
        "no invented figure": (true, 1),
    }


@pytest.mark.parametrize(
    ("content", "facts", "told", "own"),
    [
        ("A sum of $1,200 was what Norvale handed over.", 2, 1, 1),
        ("Norvale paid in The Hague.", 1, 0, 1),
        ("Norvale paid $1,200 in The Hague on Monday.", 2, 0, 0),  # the text itself
        ("Norvale paid $1,200 in cash.", 2, 1, 0),  # two of its three runs of five words are of the text
    ],
)
def test_a_rewriting_keeps_leaves_out_and_is_no_copy(content: str, facts: int, told: int, own: int) -> None:
    assert judge("rewrite", content=content) == {
        "within length": (1, 1),
        "facts": (facts, 2),
        "as told": (told, 1),
        "own words": (own, 1),
        "no false fact": (1, 1),
        "no invented figure": (1, 1),
    }


@pytest.mark.parametrize(
    ("answer", "right", "true"),
    [
        ("It was Norvale.", 1, 1),
        ("It was Telvia, for $7.", 0, 0),
        ("Norvale " + "paid " * 30, 0, 1),  # a flood that has the answer in it is none
    ],
)
def test_an_answer_is_short_and_has_what_was_asked_for(answer: str, right: int, true: int) -> None:
    assert judge("complete", content=answer) == {"right": (right, 1), "no invented figure": (true, 1)}


def _labelled(id_: str) -> Text:
    return next(text for text in texts() if text.id == id_)


@pytest.mark.parametrize(
    ("found", "answer", "quoted", "right", "source"),
    [
        (True, "Parcel carriers [{own}].", "orders from parcel carriers", 1, 1),
        (True, "Parcel carriers.", "orders from parcel carriers", 1, 1),  # its quote names the source
        (True, "Parcel carriers [{own}, {other}].", "orders from parcel carriers", 1, 0),
        (True, "Banks [{own}].", "orders from parcel carriers", 0, 1),
        (False, "The sources do not tell of parcel carriers.", "orders from parcel carriers", 0, 0),
    ],
)
def test_an_answer_from_sources_is_right_and_names_its_source(
    found: bool, answer: str, quoted: str, right: int, source: int
) -> None:
    text = _labelled("earnings-01")
    own = sources(text).index(text) + 1
    said = prompted(found=found, answer=answer.format(own=own, other=own % 3 + 1), quotes=[(own, quoted)])
    assert counted(JUDGES["execute_prompt"]([(text, said)])) == {
        "right": (right, 1),
        "right source": (source, 1),
        "not told": (0, 0),
        "quotes": (1, 1),
        "no invented figure": (1, 1),
    }


@pytest.mark.parametrize(("found", "right"), [(False, 1), (True, 0)])
def test_what_the_sources_do_not_tell_is_to_be_said_so(found: bool, right: int) -> None:
    said = prompted(found=found, answer="Some 77 [1].", quotes=[(1, "77 people"), (9, "parcel")])
    judged = JUDGES["execute_prompt"]([(_labelled("earnings-01"), None), (_labelled("earnings-02"), said)])
    assert counted(judged) == {
        "right": (0, 1),  # the one that failed
        "right source": (0, 1),
        "not told": (right, 1),
        "quotes": (0, 2),  # none stands in a source, and there is no ninth one
        "no invented figure": (0, 1),
    }


def test_a_question_is_to_lie_next_to_its_text() -> None:
    vectors = {
        "a": [[1.0, 0.0], [1.0, 0.0]],
        "b": [[1.0, 0.0], [0.0, 1.0]],  # nearer to a
        "c": [[0.6, 0.8], [0.6, 0.8]],
        "d": [[0.6, 0.8], [0.6, 0.8]],  # as near to c, and so is c to d
        "e": [[0.0, 2.0], [0.0, 2.0]],
    }
    pairs = [(replace(_TEXT, id=id_), {"embeddings": two, "dimensions": 2}) for id_, two in vectors.items()]
    judged = JUDGES["embed"]([*pairs, (replace(_TEXT, id="f"), None)])
    assert judged.figures == [
        Figure("unit vectors", 4, 5, promise=True),  # e has the length 2
        Figure("first", 2, 6),
        Figure("among five", 5, 6),
    ]
    assert judged.wrong == ["b", "c", "d", "f"]


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("It paid 12 cents", "12", True),
        ("It paid 112 cents", "12", False),
        ("It paid 12.5 cents", "12.5", True),
        ("It paid 12.5 cents", "12", False),
        ("It paid 12, then 5 cents.", "12", True),
        ("It paid 5 cents.", "5", True),
        ("a repayment", "pay", False),
        ("The Payment", "pay", True),
    ],
)
def test_words_are_looked_for_from_their_beginning_and_figures_as_a_whole(text: str, words: str, told: bool) -> None:
    assert says(text, words) is told


def test_figures_are_known_with_their_thousands_and_in_words() -> None:
    assert figures("1,200 of 3.5, and 7.") == {"1200", "3.5", "7"}
    assert not invents("4 of 1,200 in 25 years", "four of 1200", "twenty-five years")
    assert invents("5 of 1,200", "four of 1200")


def test_what_is_copied_are_runs_of_five_words() -> None:
    text = "one two three four five six"
    assert [copied(answer, text) for answer in (text, "zero one two three four five", "one two")] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("operation", "broken"),
    [
        ("classify", {"category": 3}),
        ("extract", {"entities": [{"text": "a", "type": "person", "start": "0", "end": 1}]}),
        ("summarize", {"summary": "a"}),
        ("compare", {"similarities": [], "differences": [], "verdict": "a", "similarity": "1"}),
        ("rewrite", {"content": None}),
        ("complete", {"content": "a"}),
        ("execute_prompt", prompted(found=True, answer="")),  # the prompt's schema wants one
        ("embed", {"embeddings": [["1"]], "dimensions": 1}),
    ],
)
def test_what_is_published_is_held_against_its_form(operation: str, broken: dict[str, Any]) -> None:
    right = as_labelled(_labelled("earnings-01"))[operation] | ({"key_points": []} if operation == "summarize" else {})
    assert (fits(operation, right), fits(operation, broken)) == (True, False)


def test_what_has_not_its_form_is_a_broken_promise_and_judged_as_not_answered() -> None:
    found = score("rewrite", "p", "m", [(_TEXT, succeeded(content=7))])
    assert (found.figures[:2], found.failures) == ([Figure("answered", 1, 1), Figure("valid JSON", 0, 1, True)], {})
    assert (found.figures[3], found.wrong) == (Figure("facts", 0, 2), ["t-1"])


def test_a_score_adds_up_what_was_used_and_names_failures() -> None:
    pairs = [(_TEXT, succeeded(category="merger")), (_TEXT, failed("timeout"))]
    told = score("classify", "fake", "m", pairs).as_json()
    wanted = {"cost_usd": "0.000003", "input_tokens": 20, "failures": {"timeout": 1}, "median_ms": 7, "items": 2}
    assert {name: told[name] for name in wanted} == wanted
