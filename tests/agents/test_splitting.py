"""The laws of splitting: nothing lost, nothing twice, each part within its room, cut where a reader would cut."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.splitting import Part, split
from providers import tokens

pytestmark = pytest.mark.fast

TEXTS = st.text(alphabet=st.sampled_from("aZ9 .!?\n。é́\u200d👩🏽한"), max_size=400) | st.text(max_size=200)
ROOMS = st.integers(2, 60)


@given(TEXTS, ROOMS)
def test_parts_joined_give_the_text_and_stand_where_they_say(text, room):
    parts = split(text, room)
    assert "".join(part.text for part in parts) == text
    assert all(part.text and text[part.start : part.start + len(part.text)] == part.text for part in parts)


@given(TEXTS, ROOMS)
def test_each_part_is_within_its_room(text, room):
    assert all(tokens.weigh(part.text) <= room for part in split(text, room))


@given(TEXTS, ROOMS)
def test_the_same_text_is_split_in_the_same_way(text, room):
    assert split(text, room) == split(text, room)


@given(st.lists(st.sampled_from(["Sales rose by 3%.", "Costs fell!", "Who knew?", "It paid $4.5."]), min_size=1))
def test_sentences_that_fit_are_never_cut(said):
    text = " ".join(said)
    assert all(part.text.rstrip().endswith((".", "!", "?")) for part in split(text, 16))


@given(st.text(alphabet="aé\u0301🏽\u200d", min_size=1, max_size=300), st.integers(30, 60))
def test_an_accent_stays_with_its_letter(text, room):
    """Where that is easy: a run of accents longer than any real character is cut."""
    for part in split(text, room)[1:]:
        before = text[max(0, part.start - 12) : part.start]
        assert part.text[0] in "aé" or not any(letter in "aé" for letter in before)


CUT = [
    ("One two. Three four.", 4, ["One two.", " Three four."]),
    ("one two three four five six", 3, ["one two three ", "four five six"]),  # no sentence ends: at a word
    ("a" * 40, 5, ["a" * 24, "a" * 16]),  # no word ends: 4.8 letters a token, so 24 in 5
    ("", 5, []),
    ("short", 5, ["short"]),
]


@pytest.mark.parametrize(("text", "room", "parts"), CUT, ids=[text[:20] for text, _, _ in CUT])
def test_where_it_is_cut(text, room, parts):
    assert [part.text for part in split(text, room)] == parts


def test_parts_are_about_equally_long():
    text = "Sales rose by three percent in the north. " * 110
    lengths = [len(part.text) for part in split(text, 1000)]
    assert max(lengths) < 1.3 * min(lengths)


HARD = {
    "one word": "a" * 300_000,
    "one sentence": "word " * 60_000,
    "abbreviations": "Mr. " * 75_000,
    "full stops": "." * 300_000 + "x",
    "line breaks": "\n" * 300_000,
    "accents": "\u0301" * 100_000,
}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_a_book_of_anything_is_split_in_no_time(text):
    begun = time.perf_counter()
    parts = split(text, 6000)
    assert ("".join(part.text for part in parts) == text, time.perf_counter() - begun < 5) == (True, True)


def test_a_part_is_its_text_and_where_it_begins():
    assert split("One. Two.", 2) == [Part(0, "One."), Part(4, " Two.")]
