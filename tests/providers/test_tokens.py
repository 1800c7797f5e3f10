"""The guess of a text's length in tokens."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.tokens import estimate

pytestmark = pytest.mark.fast

KNOWN = [  # a text, tokens by o200k and by SmolLM2's tokenizer, which differ by that much themselves
    (
        "Apple CEO Tim Cook announced record revenue of $1.2bn today in Cupertino, beating analyst expectations. " * 10,
        190,
        230,
    ),
    ("word " * 1000, 1001, 1001),
    ("1234567890 9876543210 5551234 " * 40, 560, 1200),
    ("中国政府周三宣布了一系列支持可再生能源的新措施，分析人士认为这将推动市场增长。" * 10, 240, 680),  # noqa: RUF001 - its own comma
    (
        "Die Bundesregierung hat am Mittwoch neue Maßnahmen zur Förderung erneuerbarer Energien beschlossen. " * 10,
        190,
        400,
    ),
]


@pytest.mark.parametrize(("text", "fewest", "most"), KNOWN)
def test_lies_near_what_tokenizers_count(text: str, fewest: int, most: int) -> None:
    assert 0.8 * fewest <= estimate(text) <= 1.3 * most


@given(st.text())
def test_is_there_for_any_text_and_never_more_than_its_bytes(text: str) -> None:
    assert (0 if not text else 1) <= estimate(text) <= max(1, len(text.encode(errors="replace")))


def test_half_a_surrogate_pair_is_counted() -> None:
    assert estimate("a\ud800b") >= 1


def test_five_megabytes_are_guessed_at_once_and_about_right() -> None:
    """What follows the first 64 KiB is extrapolated."""
    text = "The quick brown fox jumps over the dog. " * 131_072
    began = time.perf_counter()
    guess = estimate(text, enough=8192)
    assert time.perf_counter() - began < 0.1
    assert guess == pytest.approx(estimate(text), rel=0.01)


def test_a_long_text_of_nothing_is_not_long() -> None:
    assert estimate(" " * 100_000, enough=8192) < 8192
