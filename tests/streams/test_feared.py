"""What a request may cost is guessed from its record: rather too much, and never by the size of a picture."""

import base64
from typing import Any

import orjson
import pytest

from prompts import Library
from providers import prices, tokens
from providers.listed import Listed
from schemas.request import Request
from streams.feared import MARGIN, OUTPUT, PICTURE, WORDING, feared

pytestmark = pytest.mark.fast

TABLE = prices.table(
    {
        "in/*": {"input_per_million": "1"},
        "out/*": {"output_per_million": "1"},
        "gpu/*": {"per_gpu_second": "1"},
    },
    "v",
    Listed({}),
)
NANO = 1_000
"""A token at a dollar a million."""


def _feared(provider: str, input_: dict[str, Any], *, embeds: bool = False, **options: Any) -> int | None:
    told = {"input": input_, "options": options}
    return feared(TABLE, provider, "m", Request.model_validate(told), orjson.dumps(told), embeds=embeds)


def test_the_answer_is_feared_as_long_as_it_may_be() -> None:
    found = [_feared("out", {"content": "a"}), _feared("out", {"content": "a"}, max_tokens=7)]
    assert found == [OUTPUT * NANO, 7 * NANO]
    assert _feared("out", {"texts": ["a"]}, embeds=True) == 0


def test_a_call_on_a_gpu_is_feared_to_take_its_whole_time() -> None:
    assert [_feared("gpu", {"content": "a"}), _feared("gpu", {"content": "a"}, timeout_s=5.0)] == [
        60 * 10**9,
        5 * 10**9,
    ]


def test_what_is_free_costs_nothing_and_what_nothing_prices_is_not_known() -> None:
    assert [_feared(name, {"content": "a"}) for name in ("ollama", "local", "stranger")] == [0, 0, None]


def test_a_text_is_feared_with_the_wording_around_it() -> None:
    text = "The ferry was late. " * 500
    assert (_feared("in", {"content": text}) or 0) >= (tokens.estimate(text) * MARGIN + WORDING) * NANO


def test_a_picture_weighs_the_same_whatever_its_size() -> None:
    def message(size: int) -> dict[str, Any]:
        url = f"data:image/png;base64,{base64.b64encode(b'x' * size).decode()}"
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}

    small, large = _feared("in", message(10)), _feared("in", message(1_000_000))
    assert small == large
    assert (small or 0) >= (PICTURE + WORDING) * NANO


def test_no_shipped_wording_is_longer_than_what_is_kept_for_it() -> None:
    library = Library.load()
    longest = max(tokens.estimate(library.version(slug).model_dump_json()) for slug in library.slugs())
    assert longest * MARGIN < WORDING
