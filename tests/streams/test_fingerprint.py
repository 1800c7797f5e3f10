"""Which requests share an answer: whoever asks for chance, or for another model, text or prompt, does not."""

from typing import Any

import orjson
import pytest

from prompts import Library
from schemas.request import Lane
from store.ledger.types.arrivals import Ask
from store.ledger.types.records import Position
from streams import library
from streams.configured import make_decoder
from streams.decode import Decoder
from streams.providing import make_providers
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

TEXT = {"content": "Acme sold 12 pumps."}
PROMPT = {"prompt": "headline", "variables": {"content": "Acme sold 12 pumps."}}


def decoder(**changes: Any) -> Decoder:
    settings = make_settings(**{"default_provider": "fake", "ollama_url": "http://127.0.0.1:9", **changes})
    return make_decoder(settings, make_providers(settings), library.load(settings))


def ask(operation: str, input_: dict[str, Any], made: Decoder | None = None, **fields: Any) -> Ask:
    value = orjson.dumps({"id": "a", "input": input_, **fields})
    found = (made or decoder()).record(operation, Lane.NORMAL, Position("t", 0, 0, 1), value, [])
    assert isinstance(found, Ask)
    assert found.failure is None, found.failure
    return found


@pytest.mark.parametrize(
    ("operation", "input_", "options", "kept", "taken"),
    [
        ("summarize", TEXT, {}, True, True),
        ("summarize", TEXT, {"temperature": 0}, True, True),
        ("summarize", TEXT, {"temperature": 0.1}, False, False),  # asks for chance
        ("summarize", TEXT, {"cache": "refresh"}, True, False),  # makes it anew, for others too
        ("summarize", TEXT, {"cache": "off"}, False, False),
        ("embed", {"texts": ["a"]}, {}, True, True),
        ("complete", {"prompt": "A joke, please."}, {}, False, False),  # may want another one
        ("complete", {"prompt": "A joke, please."}, {"temperature": 0}, True, True),
        ("complete", {"prompt": "A joke, please.", "seed": 7}, {}, True, True),
        ("complete", {"prompt": "A joke, please.", "seed": 7}, {"temperature": 1}, False, False),
        ("execute_prompt", PROMPT, {}, False, False),
        ("execute_prompt", PROMPT, {"temperature": 0}, True, True),
    ],
)
def test_an_answer_is_kept_and_taken(
    operation: str, input_: dict[str, Any], options: dict[str, Any], kept: bool, taken: bool
) -> None:
    found = ask(operation, input_, options=options)
    assert (found.fingerprint is not None, found.fresh_s > 0) == (kept, taken)


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({}, True),
        ({"id": "another", "metadata": {"a": 1}, "run_id": "r", "deadline": "2099-01-01T00:00:00Z"}, True),
        ({"options": {"timeout_s": 5, "ordered": True, "on_ambiguous": "fail"}}, True),
        ({"options": {"max_tokens": 7}}, False),
        ({"options": {"temperature": 0}}, False),
        ({"options": {"model": "other"}}, False),
        ({"options": {"provider": "ollama"}}, False),
        ({"input": TEXT | {"max_sentences": 2}}, False),
        ({"input": TEXT | {"mystery": 2}}, False),  # its answer's warnings name it
        ({"mystery": 2}, False),
        ({"tenant": "another"}, False),
    ],
)
def test_two_requests_ask_the_same(fields: dict[str, Any], same: bool) -> None:
    first, second = ask("summarize", TEXT), ask("summarize", **{"input_": TEXT, **_renamed(fields)})
    assert (first.fingerprint == second.fingerprint) == same


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {("input_" if name == "input" else name): value for name, value in fields.items()}


def test_tenants_share_answers_only_where_they_are_allowed_to() -> None:
    made = decoder(cache_tenants=True)
    assert ask("summarize", TEXT, made).fingerprint == ask("summarize", TEXT, made, tenant="another").fingerprint


@pytest.mark.parametrize("off", [{"cache_ttl_s": 0}, {"cache_max_bytes": 0}])
def test_a_bound_of_nothing_is_no_cache(off: dict[str, Any]) -> None:
    found = ask("summarize", TEXT, decoder(**off))
    assert (found.fingerprint, found.fresh_s) == (None, 0.0)


def test_another_wording_of_a_prompt_starts_anew() -> None:
    made = decoder()
    fewer = Library(made.library.get(slug) for slug in made.library.slugs() if slug != "tone")
    assert fewer.digest() != made.library.digest() == Library.load().digest()


def test_other_weights_under_the_same_name_are_another_model() -> None:
    made = decoder()
    provider = made.providers["ollama"]
    seen = []
    for digest in ("sha256:1", "sha256:2"):
        provider._digests["node"] = {"llama3.2:latest": digest}  # type: ignore[attr-defined]
        seen.append(ask("summarize", TEXT, made, options={"provider": "ollama"}).fingerprint)
    assert len(set(seen)) == 2
