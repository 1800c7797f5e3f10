"""Names are published only where they stand; offsets count code points."""

# ruff: noqa: RUF001, RUF003 - look-alike characters are the subject here
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.folding import Folded, extends
from agents.grounding import Named, ground

pytestmark = pytest.mark.fast


def _found(content, *names):
    grounded = ground(content, [Named(name, "T") for name in names])
    return [(entity.text, entity.start) for entity in grounded.entities], grounded.invented


PLACES = [
    ("Apple and Apple", ["Apple", "Apple"], [("Apple", 0), ("Apple", 10)], 0),
    ("Apple", ["Apple", "Apple"], [("Apple", 0)], 0),
    ("Apple", ["Pear"], [], 1),
    ("🚀🚀 Lumenor", ["Lumenor"], [("Lumenor", 3)], 0),  # two code points, four UTF-16 units, eight bytes
    ("New York Times in New York", ["New York", "New York Times"], [("New York Times", 0), ("New York", 18)], 0),
    ("New York Times", ["New York", "New York Times"], [("New York", 0), ("New York Times", 0)], 0),
    ("the Annual Ann", ["Ann"], [("Ann", 11)], 0),  # whole words first
    ("iPhones", ["iPhone"], [("iPhone", 0)], 0),  # inside a word when nothing else is there
    ("Russian, US", ["us"], [("US", 9)], 0),  # another spelling as a word before the same one inside a word
    ("Tim\n  Cook", ["Tim Cook"], [("Tim\n  Cook", 0)], 0),
    ("Cafe\u0301 Noir", ["Café noir"], [("Cafe\u0301 Noir", 0)], 0),  # decomposed in the text
    ("Café", ["Cafe\u0301"], [("Café", 0)], 0),  # decomposed by the model
    ("Cafe\u0301", ["Cafe"], [], 1),  # would take the e and leave its accent
    ("STRASSE", ["Straße"], [("STRASSE", 0)], 0),
    ("Straße", ["STRASSE"], [("Straße", 0)], 0),
    ("Maß", ["mas"], [], 1),  # half of what ß folds to
    ("İstanbul", ["i\u0307stanbul"], [("İstanbul", 0)], 0),
    ("Levi’s – Inc", ["Levi's - Inc"], [("Levi’s – Inc", 0)], 0),
    ("東京都に行く", ["東京"], [("東京", 0)], 0),
    ("각", ["가"], [], 1),  # a part of a syllable
    ("anything", ["", "  ", "x" * 2000], [], 3),
]


@pytest.mark.parametrize(("content", "names", "places", "invented"), PLACES, ids=[repr(row[:2]) for row in PLACES])
def test_a_name_is_published_where_a_reader_would_mark_it(content, names, places, invented):
    assert _found(content, *names) == (places, invented)


def test_one_place_may_have_two_types():
    grounded = ground("Paris", [Named("Paris", "CITY"), Named("Paris", "PERSON"), Named("Paris", "CITY")])
    assert [(entity.type, entity.start) for entity in grounded.entities] == [("CITY", 0), ("PERSON", 0)]


TEXTS = st.text(alphabet="aAbß İIıſsSe\u0301\u0327é🚀👩\u200d💻각가Ǆﬁ'’\n\t -東", max_size=40)


@given(TEXTS, st.lists(TEXTS, max_size=5))
def test_what_is_published_is_the_slice_at_its_offsets(content, names):
    for entity in ground(content, [Named(name, "T") for name in names]).entities:
        assert content[entity.start : entity.end] == entity.text != ""


@given(TEXTS, st.data())
def test_every_whole_piece_of_the_text_is_found(content, data):
    edges = [0, *(at for at in range(1, len(content)) if not extends(content[at])), len(content)]
    start, end = sorted(data.draw(st.tuples(st.sampled_from(edges), st.sampled_from(edges))))
    name = content[start:end]
    found, invented = _found(content, name)
    assert (len(found), invented) == ((1, 0) if name.strip() else (0, 1))


@given(TEXTS, st.sampled_from(["NFC", "NFD", "upper", "lower", "spaced"]))
def test_another_spelling_of_the_whole_text_is_the_whole_text(content, change):
    content = content.strip()
    other = {
        "NFC": lambda: unicodedata.normalize("NFC", content),
        "NFD": lambda: unicodedata.normalize("NFD", content),
        "upper": lambda: content.swapcase() if content.isascii() else content.casefold(),
        "lower": content.casefold,
        "spaced": lambda: content.replace(" ", " \n "),
    }[change]()
    if Folded(content).text.strip() != Folded(other).text.strip() or not content:
        return  # it does not mean the same any more: 'ſ' upper-cased, a first accent alone
    assert _found(content, other)[0] == [(content, 0)]


def test_a_long_text_is_searched_quickly():
    content = "The quick brown fox ate at Café Noir.\n" * 30_000
    started = time.process_time()
    assert _found(content + "ACME  Corp", "acme corp")[1] == 0
    assert time.process_time() - started < 2
