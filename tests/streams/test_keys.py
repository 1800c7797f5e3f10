"""How a key looks, what it is made for, and what a principal may: tables, without a door."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from store.ledger.types.arrivals import Ask
from streams import keys
from streams.web.keyring import known
from streams.web.limits import block, wish
from streams.web.principal import NOBODY, OPERATOR, Principal, Scopes
from streams.web.problems import Problem

pytestmark = pytest.mark.fast
ASK = Ask("a", "summarize", "1", b"h", lane=1, provider="ollama", model="llama3.2:latest")


def test_a_key_is_long_random_and_shows_only_its_beginning() -> None:
    key, other = keys.fresh(), keys.fresh()
    kept = keys.secret(key)
    assert (len(key), keys.is_one(key), key != other) == (58, True, True)
    assert key.startswith(kept.prefix)
    assert (len(kept.prefix), len(kept.digest)) == (14, 32)


@pytest.mark.parametrize(
    "text", ["", "k", "sk-proj-1", "genai_12345678", "genai_12345678_", f"genai_1234567é_{'a' * 43}", f"{'a' * 58}"]
)
def test_what_only_resembles_a_key_is_none(text: str) -> None:
    assert not keys.is_one(text)


@pytest.mark.parametrize(("told", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("30m", 1800), ("5s", 5), ("0", 0)])
def test_lengths_of_time(told: str, seconds: int) -> None:
    assert keys.span(told) == seconds


@pytest.mark.parametrize("told", ["", "90", "-1d", "1w", "d", "3651d", "1 d", "0x1d", "\uff11d"])
def test_what_is_no_length_of_time_is_said(told: str) -> None:
    with pytest.raises(ValueError, match="no length of time"):
        keys.span(told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "needs a name"),
        ({"name": ""}, "no name"),
        ({"name": "a\nb"}, "no name"),
        ({"name": 1}, "no text"),
        ({"name": "a", "tenant": ""}, "no name"),
        ({"name": "a", "tenant": "t", "admin": True}, "leave the tenant out"),
        ({"name": "a", "admin": "yes"}, "no boolean"),
        ({"name": "a", "lanes": ["fast"]}, "no lane"),
        ({"name": "a", "operations": ["two words"]}, "no pattern"),
        ({"name": "a", "operations": "summarize"}, "no list"),
        ({"name": "a", "operations": ["x"] * 101}, "too many"),
        ({"name": "a", "rpm": 0}, "no whole number"),
        ({"name": "a", "rpm": True}, "no whole number"),
        ({"name": "a", "tpm": "10"}, "no whole number"),
        ({"name": "a", "concurrency": -1}, "no whole number"),
        ({"name": "a", "expires": "0"}, "expires at once"),
        ({"name": "a", "expires": "soon"}, "no length of time"),
        ({"name": "a", "scope": ["x"]}, "not known"),
    ],
)
def test_a_key_is_not_made_for_what_cannot_be(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        keys.wish(told)


def test_what_is_not_said_is_not_bounded() -> None:
    made = keys.wish({"name": "a"})
    every = {"operations": ["*"], "models": ["*"], "lanes": ["*"], "admin": False}
    assert (made.scopes, made.tenant, made.rpm, made.tpm, made.concurrency, made.lives_s) == (every, *[None] * 5)


@pytest.mark.parametrize(
    ("who", "changes", "missing"),
    [
        (OPERATOR, {}, None),
        (Principal("k", "a"), {}, None),
        (Principal("k", "b"), {}, "tenant"),
        (Principal("k", None), {}, None),
        (NOBODY, {}, "tenant"),
        (Principal("k", "a", Scopes(operations=("summ*",))), {}, None),
        (Principal("k", "a", Scopes(operations=("embed",))), {}, "operation 'summarize'"),
        (Principal("k", "a", Scopes(models=("ollama/*",))), {}, None),
        (Principal("k", "a", Scopes(models=("ollama/llama*",))), {"model": "qwen3"}, "model 'ollama/qwen3'"),
        (Principal("k", "a", Scopes(models=())), {}, "model"),
        (Principal("k", "a", Scopes(lanes=("batch",))), {}, "lane 'normal'"),
        (Principal("k", "a", Scopes(lanes=("batch",))), {"lane": 2}, None),
        (Principal("k", None, Scopes((), (), (), admin=True)), {"lane": 2}, None),
    ],
)
def test_what_a_key_is_not_for_is_refused_and_named(
    who: Principal, changes: dict[str, Any], missing: str | None
) -> None:
    what = replace(ASK, **changes)
    if missing is None:
        who.check(what)
        return
    with pytest.raises(Problem, match=missing) as refused:
        who.check(what)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("left", "missing", "lent"),
    [
        (None, 1, 0),  # nothing bounds it
        (0, 1, None),
        (0, 0, 0),
        (1, 1, 1),
        (3, 1, 1),  # too little to borrow ahead
        (19, 1, 1),  # a twentieth is less than one
        (400, 1, 20),
        (100, 101, None),
        (399, 100, 100),  # less than four times what is missing
        (10_000, 100, 500),
    ],
)
def test_blocks_get_smaller_as_less_is_left(left: int | None, missing: int, lent: int | None) -> None:
    assert block(left, missing) == lent


def test_who_lacks_one_of_two_uses_up_neither() -> None:
    assert [wish(10, 5, 1, 6), wish(0, 50, 1, 6), wish(10, 50, 1, 6)] == [(0, 0), (0, 0), (1, 6)]


def test_a_rotated_key_ends_with_its_overlap_and_never_after_its_own_end() -> None:
    scopes = orjson.dumps({"operations": ["*"], "models": ["*"], "lanes": ["*"], "admin": False})
    row = SimpleNamespace(
        id="key-1", prefix="p", digest=b"d", old_prefix="o", old_digest=b"e", tenant=None, scopes=scopes
    )
    row.rpm = row.tpm = row.concurrency = row.revoked_at = None
    ends = [(None, 50.0), (20.0, 50.0)]
    found = [known([SimpleNamespace(**vars(row), expires_at=end, old_until=over)]) for end, over in ends]
    assert [(each["p"].until, each["o"].until) for each in found] == [(None, 50.0), (20.0, 20.0)]


def test_a_key_is_told_without_what_it_is() -> None:
    row = SimpleNamespace(id="key-1", prefix="genai_abcdefgh", digest=b"secret", old_prefix=None, old_until=None)
    vars(row).update(name="n", tenant=None, scopes=b'{"admin":false}', rpm=1, tpm=None, concurrency=None, made_at=0.0)
    vars(row).update(expires_at=time.time() - 1, rotated_at=None, revoked_at=None, used_at=None)
    told = keys.told(row)
    assert (told["state"], "digest" in told, "secret" in repr(told)) == ("expired", False, False)
