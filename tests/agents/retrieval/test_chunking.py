"""The laws of chunks: each is where it says, nothing is left out, none is too long, sentences that fit are whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.retrieval.chunking import Chunk, chunk
from agents.retrieval.document import Document, Piece, joined
from providers import tokens

pytestmark = pytest.mark.fast

TEXTS = st.text(alphabet=st.sampled_from("aZ9 .!?\n。é́\u200d👩🏽한\u3000"), max_size=400) | st.text(max_size=200)
TARGETS, OVERLAPS = st.integers(2, 60), st.integers(0, 80)
SENTENCES = st.lists(st.sampled_from(["Sales rose by 3%.", "Costs fell!", "Who knew?", "It paid $4.5."]), min_size=1)


def _chunks(text: str, target: int, overlap: int) -> list[Chunk]:
    return chunk(Document("d", "text/plain", text), target, overlap)


@given(TEXTS, TARGETS, OVERLAPS)
def test_a_chunk_is_where_it_says_and_nothing_but_blanks_is_left_out(text, target, overlap):
    chunks = _chunks(text, target, overlap)
    covered = {place for one in chunks for place in range(one.start, one.end)}
    assert [text[one.start : one.end] for one in chunks] == [one.text for one in chunks]
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)
    assert [one.number for one in chunks] == list(range(len(chunks)))


@given(TEXTS, TARGETS, OVERLAPS)
def test_each_begins_and_ends_behind_the_one_before(text, target, overlap):
    chunks = _chunks(text, target, overlap)
    for before, after in pairwise(chunks):
        assert (before.start < after.start, before.end < after.end) == (True, True)


@given(TEXTS, TARGETS, OVERLAPS)
def test_none_is_above_its_target_nor_shares_more_than_the_overlap(text, target, overlap):
    chunks = _chunks(text, target, overlap)
    assert all(tokens.weigh(one.text) <= target + 1e-6 or len(one.text) == 1 for one in chunks)
    for before, after in pairwise(chunks):
        assert tokens.weigh(text[after.start : before.end]) <= min(overlap, target / 2) + 1e-6


@given(SENTENCES, OVERLAPS)
def test_sentences_that_fit_are_never_cut(said, overlap):
    assert all(one.text.endswith((".", "!", "?")) for one in _chunks(" ".join(said), 16, overlap))


def test_what_one_shares_with_the_next_is_whole_sentences():
    text = " ".join(f"Sentence {number} tells of sales that rose." for number in range(6))
    shared = [text[after.start : before.end] for before, after in pairwise(_chunks(text, 24, 8))]
    assert shared == ["Sentence 2 tells of sales that rose.", "Sentence 4 tells of sales that rose."]


def test_a_chunk_tells_its_pages_and_its_heading():
    pages = [Piece("One. Two.", 1), Piece("Three. Four.", 2, "Risks"), Piece(" ", 3), Piece("Five.", 4)]
    chunks = chunk(joined("d", "application/pdf", pages), 6, 0)
    assert [(one.text, one.pages, one.heading) for one in chunks] == [
        ("One. Two.\n\nThree.", ((0, 1), (11, 2)), None),
        ("Four.\n\nFive.", ((18, 2), (25, 4)), "Risks"),
    ]


HARD = {"one word": "a" * 200_000, "full stops": "a. " * 50_000, "blanks": "a" + " " * 500_000 + "b", "nothing": " \n"}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_anything_is_cut(text):
    assert "".join("".join(one.text.split()) for one in _chunks(text, 256, 0)) == "".join(text.split())


def test_what_is_no_words_is_cut_smaller() -> None:
    """A model makes a token of every second character of base64."""
    chunks = _chunks("It is here. " + "QmFzZTY0" * 200, 100, 0)
    assert max(len(one.text) for one in chunks) <= 200
