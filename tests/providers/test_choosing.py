"""Which target a request goes to: draws are by hash, what cannot is skipped, what is unwell is passed over."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Able
from providers.choosing import Look, Needs, Who, cannot, decide, order, stick
from providers.routes import Model, Table, parse

pytestmark = pytest.mark.fast


def table(text: str) -> Table:
    return parse(text.encode(), "routes.yaml", ("p", "q"))


def who(id_: str = "a", **changes: Any) -> Who:
    return Who(**{"operation": "complete", "tenant": "t", "lane": "normal", "id": id_, **changes})


AB = table(
    """
routes:
  ab:
    sticky: key
    targets: [{model: p/a, weight: 3, arm: old}, {model: p/b, weight: 1, arm: new}]
    fallbacks: [q/c]
  spread: {targets: [p/a, p/b], fallbacks: [q/c]}
  only: {targets: [{model: p/a, when: {tenants: [x]}}, {model: p/b, when: {operations: [complete]}}]}
  outer: {targets: [ab], fallbacks: [spread, p/d]}
  wide: {targets: [outer, outer], fallbacks: [outer, ab, spread]}
"""
)


def names(name: str, asks: Who) -> list[str]:
    return [str(each.model) for each in order(AB, AB.routes[name], asks).candidates if not each.why]


def test_shares_are_as_the_weights_say() -> None:
    drawn = Counter(names("ab", who(str(n)))[0] for n in range(4000))
    assert drawn["p/a"] / 4000 == pytest.approx(0.75, abs=0.03)


@given(st.binary(min_size=1, max_size=20), st.text(min_size=1), st.text(min_size=1))
def test_who_shares_a_key_shares_an_arm(key: bytes, one: str, other: str) -> None:
    first, second = (order(AB, AB.routes["ab"], who(each, key=key)) for each in (one, other))
    assert (first.arm, first.candidates) == (second.arm, second.candidates)
    assert first.arm in {"old", "new"}


def test_an_arm_is_not_left_for_the_other_one() -> None:
    """Else the trouble of one would be measured in the other; the fallback stands in for both."""
    found = [names("ab", who(str(n))) for n in range(50)]
    assert {tuple(each[1:]) for each in found} == {("q/c",)}
    spread = [names("spread", who(str(n))) for n in range(50)]
    assert {tuple(each) for each in spread} == {("p/a", "p/b", "q/c"), ("p/b", "p/a", "q/c")}


def test_who_cannot_do_it_is_not_drawn_and_where_nobody_can_one_is_drawn_to_say_so() -> None:
    found = [order(AB, AB.routes["ab"], who(str(n)), lambda model: model.model != "a") for n in range(30)]
    assert {(each.arm, str(each.candidates[0].model)) for each in found} == {("new", "p/b")}
    assert found[0].candidates[-1].why == "it cannot do what is asked"
    nobody = [order(AB, AB.routes["ab"], who(str(n)), lambda _: False) for n in range(30)]
    assert {each.arm for each in nobody} == {"old", "new"}


def test_a_condition_takes_a_target_out_of_the_draw() -> None:
    assert {tuple(names("only", who(str(n)))) for n in range(20)} == {("p/b",)}
    assert names("only", who(operation="embed")) == []
    assert [each.why for each in order(AB, AB.routes["only"], who(operation="embed")).candidates] == [
        "only for tenants x",
        "only for operations complete",
    ]


def test_a_route_behind_a_route_is_asked_in_its_place() -> None:
    assert names("outer", who("1"))[1:2] == ["q/c"] and names("outer", who("1"))[-1] == "p/d"
    assert sorted(names("wide", who("1"))) == ["p/a", "p/b", "p/d", "q/c"]


STICKS = [
    (None, who(), b"t\0complete\0a"),
    ("key", who(key=b"k"), b"k"),
    ("key", who(), b"a"),
    ("tenant", who(), b"t"),
    ("metadata.user", who(metadata={"user": "u"}), b"'u'"),
    ("input.user", who(input={"user": 7}), b"7"),
    ("metadata.user", who(), b"t\0complete\0a"),  # without the field each has its own
]


@pytest.mark.parametrize(("sticky", "asks", "expected"), STICKS)
def test_what_a_draw_sticks_to(sticky: str | None, asks: Who, expected: bytes) -> None:
    assert stick(sticky, asks) == expected


CANNOT = [
    (Needs("chat"), None, ()),
    (Needs("chat", ("tools",)), Able(), ()),  # not known: it may try
    (Needs("chat", ("tools", "image_url")), Able(tools=False, images=True), ("tools",)),
    (Needs("embed"), Able(embed=False), ("embed",)),
    (Needs("embed"), Able(chat=False), ()),
    (Needs("chat", max_tokens=200), Able(output_tokens=100), ("max_tokens",)),
    (Needs("chat", ("top_p", "user")), Able(params=frozenset({"top_p"})), ("user",)),
]


@pytest.mark.parametrize(("needs", "able", "expected"), CANNOT)
def test_what_a_model_surely_cannot(needs: Needs, able: Able | None, expected: tuple[str, ...]) -> None:
    assert cannot(needs, able) == expected


def test_a_gpu_is_not_looked_for_where_there_is_none() -> None:
    assert cannot(Needs("chat", gpu=True), None, on_cpu=True) == ("resource",)


A, B, C = Model("p", "a"), Model("p", "b"), Model("q", "c")
ALL = {"p/a": A, "p/b": B, "q/c": C}
LINE = table("routes:\n  line: {targets: [p/a], fallbacks: [p/b, q/c]}\n")

DECISIONS: list[tuple[dict[Model, Look], Model | None, tuple[Model, ...]]] = [
    ({}, A, (B, C)),
    ({A: Look(unwell="its queue is long")}, B, (C, A)),  # it may be well when the others have failed
    ({A: Look(cannot=("tools",))}, B, (C,)),  # never asked for what it cannot
    ({A: Look(cannot=("tools",)), B: Look(unwell="away"), C: Look(unwell="away")}, B, (C,)),  # all unwell: waited for
    ({A: Look(short="too long"), B: Look(unwell="away"), C: Look(short="too long")}, B, ()),
    ({A: Look(short="too long"), B: Look(short="too long"), C: Look(short="too long")}, A, ()),  # only a guess
    ({A: Look(("tools",)), B: Look(("tools",)), C: Look(("tools",))}, None, ()),
]


@pytest.mark.parametrize(("looks", "taken", "left"), DECISIONS)
def test_who_is_taken_and_who_is_left(looks: dict[Model, Look], taken: Model | None, left: tuple[Model, ...]) -> None:
    found = decide(order(LINE, LINE.routes["line"], who()), lambda model: looks.get(model, Look()))
    assert (found.taken, found.left) == (taken, left)
    assert [told.model for told in found.told if told.taken] == ([] if taken is None else [taken])
    assert all(told.why for told in found.told if not told.taken)
