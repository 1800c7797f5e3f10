"""Where sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import sentences

pytestmark = pytest.mark.fast

TABLE = [
    ("One. Two! Three?", ["One.", "Two!", "Three?"]),
    (
        "Sales at Acme Inc. rose 3.5% to $1.2 billion. Costs fell.",
        ["Sales at Acme Inc. rose 3.5% to $1.2 billion.", "Costs fell."],
    ),
    ("The U.S. Treasury sold bonds.", ["The U.S. Treasury sold bonds."]),  # not a word that begins sentences
    ("It operates in the U.S. The rest is abroad.", ["It operates in the U.S.", "The rest is abroad."]),
    ("Acme Inc. CEO Ann Lee left.", ["Acme Inc. CEO Ann Lee left."]),
    ("It was bought by Acme Inc. It paid cash.", ["It was bought by Acme Inc.", "It paid cash."]),
    ("Mr. A. B. Smith met Dr. Who vs. Prof. X.", ["Mr. A. B. Smith met Dr. Who vs. Prof. X."]),
    ("See No. 5 and Fig. 2. Then stop.", ["See No. 5 and Fig. 2.", "Then stop."]),
    ("On Jan. 5 it rained.", ["On Jan. 5 it rained."]),
    ("1. Costs fell. 2. Sales rose.", ["1. Costs fell.", "2. Sales rose."]),
    ("It ended in 2025. Nobody noticed.", ["It ended in 2025.", "Nobody noticed."]),
    ("Wait... what? Yes.", ["Wait... what?", "Yes."]),
    ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
    ("これは一文です。次の文です。", ["これは一文です。", "次の文です。"]),
    ("Heading\n\nBody text.", ["Heading", "Body text."]),
    ("No end at all", ["No end at all"]),
    ("", []),
]


@pytest.mark.parametrize(("text", "parts"), TABLE, ids=[text[:30] for text, _ in TABLE])
def test_a_sentence_ends_where_a_reader_would_end_it(text, parts):
    assert sentences.split(text) == parts


def test_what_follows_the_last_wanted_sentence_is_cut_off():
    assert sentences.cut("Acme Inc. grew.  It paid 1.5 cents.\nMore. And more.", 2) == (
        "Acme Inc. grew.  It paid 1.5 cents.",
        2,
    )


@given(st.text(alphabet="aA. !?\n。3\"'U.S", max_size=80), st.integers(1, 4))
def test_a_cut_text_is_the_beginning_and_has_no_more_sentences_than_asked(text, most):
    kept, _ = sentences.cut(text, most)
    assert text.strip().startswith(kept)
    assert len(sentences.split(kept)) <= most


FINISHED = [
    ("Short.", 100, "Short."),
    ("Whole sentence. Half a sen", 26, "Whole sentence."),
    ("Only half a sen", 15, "Only half a…"),
    ("Ends at the bound.", 18, "Ends at the bound."),
    ("No bound at al", None, "No bound at al"),
]


@pytest.mark.parametrize(("text", "bound", "kept"), FINISHED)
def test_a_text_that_a_bound_ended_loses_its_half_sentence(text, bound, kept):
    assert sentences.finished(text, bound) == kept
