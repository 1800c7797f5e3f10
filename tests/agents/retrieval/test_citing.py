"""Citations are of passages that there are, and quotes are words that stand in them; the rest is dropped and counted."""

import pytest

from agents.retrieval.citing import NOT_IN_THE_DOCUMENTS, Cited, Quote, check
from agents.retrieval.passage import Passage, sources

pytestmark = pytest.mark.fast

TEXT = "Revenue rose to\n4.2 billion dollars. Costs fell."
GIVEN = [
    Passage("10k.pdf", 0, 100, 100 + len(TEXT), TEXT, ((100, 3), (137, 4)), None, 0.9),
    Passage("notes.md", 1, 0, 24, "The outlook is “stable”.", (), "Outlook", 0.5),
]


def _said(answer: str, *quotes: tuple[int, str], found: bool = True) -> dict[str, object]:
    return {"found": found, "answer": answer, "quotes": [{"source": number, "text": text} for number, text in quotes]}


def _numbers(cited: Cited) -> list[int]:
    return [source.number for source in cited.sources]


MARKS = [
    ("It rose [1].", "It rose [1].", [1], 0),
    ("It rose [1][2].", "It rose [1][2].", [1, 2], 0),
    ("It rose [2, 1].", "It rose [2, 1].", [2, 1], 0),
    ("It rose [1-2] and [Source 2].", "It rose [1, 2] and [2].", [1, 2], 0),
    ("It rose [7].", "It rose.", [1, 2], 1),  # names nothing that there is: it rests on all that it was given
    ("It rose [1, 9] in [2019].", "It rose [1] in.", [1], 2),
    ("It rose [0].", "It rose.", [1, 2], 1),
    ("It rose [sic].", "It rose [sic].", [1, 2], 0),
]


@pytest.mark.parametrize(("said", "answer", "numbers", "invented"), MARKS, ids=[row[0] for row in MARKS])
def test_brackets_are_of_passages(said: str, answer: str, numbers: list[int], invented: int) -> None:
    cited = check(GIVEN, said)
    assert (cited.answer, _numbers(cited), cited.invented) == (answer, numbers, invented)


def test_a_quote_is_the_documents_own_words_with_their_place() -> None:
    """Line breaks, capitals and typographic quotes are the model's to get wrong."""
    cited = check(
        GIVEN, _said("It rose [1].", (1, "revenue rose to 4.2 billion"), (1, "Costs fell."), (2, 'is "stable"'))
    )
    assert [source.quotes for source in cited.sources] == [
        [Quote("Revenue rose to\n4.2 billion", 100, 127, 3), Quote("Costs fell.", 137, 148, 4)],
        [Quote("is “stable”", 12, 23, None)],
    ]
    assert (cited.invented, cited.named) == (0, True)


def test_a_quote_of_another_passage_is_that_ones() -> None:
    cited = check(GIVEN, _said("Stable.", (1, "The outlook is")))
    assert [(source.number, source.quotes[0].text) for source in cited.sources] == [(2, "The outlook is")]


@pytest.mark.parametrize("words", ["Revenue tripled.", "e", ""])
def test_an_invented_quote_is_dropped_and_counted(words: str) -> None:
    cited = check(GIVEN, _said("It rose [1].", (1, words)))
    assert (cited.sources[0].quotes, cited.invented) == ([], 1)


NOT_THERE = [
    _said("The number of employees is not told.", (1, "Costs fell."), found=False),
    "The documents do not say how many.",
    "Not in the documents.",
    _said("The sources do not mention that [1]."),
]


@pytest.mark.parametrize("said", NOT_THERE)
def test_that_the_documents_do_not_say_it_is_an_answer(said: object) -> None:
    cited = check(GIVEN, said)  # type: ignore[arg-type]
    assert (cited.found, cited.sources, bool(cited.answer)) == (False, [], True)


def test_without_passages_or_words_it_is_said_plainly() -> None:
    assert [check([], "x [1]").answer, check(GIVEN, "").answer] == ["x", NOT_IN_THE_DOCUMENTS]


def test_a_passage_stands_in_the_prompt_with_its_number_and_place() -> None:
    assert [(each["number"], each["place"]) for each in sources(GIVEN)] == [
        (1, "10k.pdf, pages 3 to 4"),
        (2, "notes.md"),
    ]
