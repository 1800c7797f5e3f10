"""OpenAI's moderations: what an answer means, and which is none."""

from typing import Any

import orjson
import pytest

from providers import openai_moderation
from providers.calls import EmbedCall, Judged, ModerateCall
from providers.config import Server
from providers.double.faults import Behaviour
from providers.errors import ProviderError, Rejected, Unreadable, Unsupported
from providers.fake_server import FakeServer
from providers.openai import OpenAIProvider

pytestmark = pytest.mark.fast

CALL = ModerateCall("omni-moderation-latest", ("one",), 5.0)
FINE = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.25}}


def read(*results: Any) -> Any:
    return openai_moderation.read(orjson.dumps({"results": list(results)}), CALL, "http://x")


def test_a_verdict_is_read_and_a_category_that_the_model_does_not_know_is_left_out() -> None:
    older = {**FINE, "categories": {"hate": False, "illicit": None}, "category_scores": {"hate": 0.25, "illicit": None}}
    answer = read(older)
    assert answer.verdicts == (Judged(False, {"hate": False}, {"hate": 0.25}),)
    assert answer.spent.estimated and answer.spent.input_tokens > 0


NONE = [
    [],
    [FINE, FINE],
    ["x"],
    [{**FINE, "flagged": "no"}],
    [{**FINE, "category_scores": {"hate": 7}}],
    [{**FINE, "category_scores": {"hate": "high"}}],
    [{**FINE, "categories": {"hate": 1}}],
    [{"flagged": False}],
]


@pytest.mark.parametrize("results", NONE, ids=str)
def test_what_is_no_verdict_is_unreadable(results: list[Any]) -> None:
    with pytest.raises(Unreadable):
        read(*results)


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(Rejected):
        openai_moderation.body(ModerateCall("m", ("\ud800",), 5.0))


ASKED: list[tuple[str, str, type[ProviderError] | None]] = [
    ("omni-moderation-latest", "[fake:server_error]", ProviderError),
    ("omni-moderation-latest", "[fake:unreadable]", Unreadable),
    ("gpt-4o", "x", Unsupported),
    ("omni-moderation-latest", "violence and hate", None),
]


@pytest.mark.parametrize(("model", "text", "error"), ASKED)
async def test_it_is_asked_over_http(model: str, text: str, error: type[ProviderError] | None) -> None:
    async with FakeServer(Behaviour(), slots=0, models=()) as server:
        await server.listen("127.0.0.1", 0)
        provider = OpenAIProvider(Server("openai", (f"{server.url}/v1",), key="k", style="openai"))
        node, call = provider.nodes()[0], ModerateCall(model, (text, "fine"), 5.0)
        if error is not None:
            with pytest.raises(error):
                await provider.moderate(call, node)
        else:
            first, second = (await provider.moderate(call, node)).verdicts
            assert (first.flagged, second.flagged, first.categories["hate"]) == (True, False, True)
            with pytest.raises(Unsupported):
                await provider.embed(EmbedCall(model, (text,), 5.0), node)
        await provider.aclose()
