"""`routes.yaml`: every fault is named with its place; a name stands for one thing, whoever asks."""

import pytest

from providers.marked import MAX_BYTES, Broken, near
from providers.routes import Model, Route, Table, guards, parse, resolve

pytestmark = pytest.mark.fast

PROVIDERS = ("fake", "ollama", "openai")


def read(text: str) -> Table:
    return parse(text.encode(), "routes.yaml", PROVIDERS)


GOOD = """\
routes:
  fast: ollama/llama3.2:latest
  good:
    sticky: key
    targets:
      - {model: openai/gpt-5, weight: 90, arm: control}
      - {model: openai/gpt-5-mini, weight: 10, arm: small}
    fallbacks: [fast]
  openai/gpt-4o:
    targets: [openai/gpt-4o]
    fallbacks: [{model: fast, when: {lanes: [batch]}}]
  no: fast
"""


def test_names_targets_weights_and_routes_behind_routes() -> None:
    table = read(GOOD)
    good = table.routes["good"]
    assert [(leg.to, leg.weight, leg.arm) for leg in good.targets] == [
        (Model("openai", "gpt-5"), 90, "control"),
        (Model("openai", "gpt-5-mini"), 10, "small"),
    ]
    assert [leg.to for leg in good.fallbacks] == ["fast"]
    assert [leg.to for leg in table.routes["no"].targets] == ["fast"]  # no YAML boolean
    # in its own route a name is the model
    assert table.routes["openai/gpt-4o"].targets[0].to == Model("openai", "gpt-4o")


BAD = [
    ("routes:\n  a: openia/x\n", 2, 3, "there is no provider `openia`; did you mean `openai`?"),
    ("routes:\n  a:\n    targets: [ollama/x, nobody/y]\n", 3, 25, "there is no provider `nobody`; known are fake"),
    ("routes:\n  a: b\n  b: a\n", 3, 3, "circle: `a` → `b` → `a`"),
    (
        "routes:\n  a: b\n  b:\n    targets: [fake/x]\n    fallbacks: [c]\n  c: a\n",
        6,
        3,
        "circle: `a` → `b` → `c` → `a`",
    ),
    ("routes:\n  a: a\n", 2, 3, "circle: `a` → `a`"),
    ("routes:\n  fast: fake/x\n  a: fats\n", 3, 3, "did you mean `fast`?"),
    ("routes:\n  a:\n    target: [fake/x]\n", 3, 5, "`target` is not known here; did you mean `targets`?"),
    ("routes:\n  a:\n    targets:\n      - model: fake/x\n        wieght: 2\n", 5, 9, "did you mean `weight`?"),
    ("route:\n  a: fake/x\n", 1, 1, "`route` is not known here; did you mean `routes`?"),
    ("routes:\n  a:\n    targets: []\n", 3, 5, "at least 1 item"),
    ("routes:\n  a:\n    targets: [{model: fake/x, weight: 0}]\n", 3, 5, "all weights are 0"),
    ("routes:\n  a:\n    targets: [{model: fake/x, weight: -1}]\n", 3, 31, "greater than or equal to 0"),
    ("routes:\n  a:\n    targets: [{model: fake/x, weight: heavy}]\n", 3, 31, "valid number"),
    ("routes:\n  a:\n    targets: [{model: fake/x, weight: .inf}]\n", 3, 31, "finite number"),
    ("routes:\n  a:\n    targets: [{model: fake/x, when: {lane: [batch]}}]\n", 3, 38, "did you mean `lanes`?"),
    ("routes:\n  a:\n    targets: [fake/x]\n    fall_back_on: [invalid_request]\n", 4, 20, "input should be"),
    ("routes:\n  a:\n    targets: [fake/x]\n    sticky: colour\n", 4, 5, "pattern"),
    ("routes:\n  a: fake/x\n  b: fake/y\n  a: fake/z\n", 4, 3, "`a` stands twice; the first is in line 2"),
    ("routes:\n  a:\n    targets: [fake/x]\n    targets: [fake/y]\n", 4, 5, "`targets` stands twice"),
    ("routes:\n  a: [fake/x]\n", 2, 3, "`routes.a`: input should be a valid dictionary"),
    ("routes:\n  a: 5\n", 2, 3, "`routes.a`: input should be a valid dictionary"),
    ("routes: {a: fake/x\n", 2, 1, "this is not YAML"),
    ("routes:\n\ta: fake/x\n", 2, 1, "this is not YAML"),
    ("routes:\n  a: &x [*x]\n", 2, 6, "nested too deeply"),
    ("routes:\n  a: !!python/object:os.system {}\n", 2, 3, "`routes.a.targets`: field required"),
    ("", 1, 1, "the file is empty"),
    ("{}\n", 1, 1, "`routes`"),
    ("routes:\n  ? [a]\n  : fake/x\n", 2, 5, "a name is a text"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), BAD)
def test_what_is_wrong_is_named_with_its_line_and_column(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(Broken) as found:
        read(text)
    fault = found.value.faults[0]
    assert (fault.line, fault.column) == (line, column), str(found.value)
    assert words in fault.words
    assert str(found.value).startswith(f"routes.yaml:{line}:{column}: ")


def test_what_is_no_text_or_too_long_is_named() -> None:
    for raw, words in (
        (b"routes:\n  a: \xff\n", "routes.yaml:2:6: this is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "bytes"),
    ):
        with pytest.raises(Broken, match=words):
            parse(raw, "routes.yaml", PROVIDERS)


def test_anchors_that_multiply_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(Broken, match="repeats itself without end"):
        read("\n".join(lines))


def test_all_faults_are_told_together() -> None:
    with pytest.raises(Broken) as found:
        read("routes:\n  a: nobody/x\n  b: fats\n")
    assert [fault.line for fault in found.value.faults] == [2, 3]


NAMES = [
    ("fast", "fast"),  # a route
    ("openai/gpt-4o", "openai/gpt-4o"),  # a route goes before `provider/model`
    ("openai/gpt-5", Model("openai", "gpt-5")),
    ("openai/ft:gpt/x", Model("openai", "ft:gpt/x")),  # only the first slash parts
    ("hf.co/some/model", Model("ollama", "hf.co/some/model")),  # a name of the default provider's own
    ("llama3.2", Model("ollama", "llama3.2")),
    ("Fast", Model("ollama", "Fast")),  # names are exact
    ("openai/", Model("ollama", "openai/")),
]


@pytest.mark.parametrize(("named", "expected"), NAMES)
def test_what_a_name_stands_for(named: str, expected: str | Model) -> None:
    found = resolve(named, read(GOOD), PROVIDERS, "ollama")
    assert (found.name if isinstance(found, Route) else found) == expected


def test_near_names() -> None:
    assert near("fats", ["fast", "good"]) == ["fast"]
    assert near("GOOD", ["fast", "good"]) == ["good"]
    assert near("x", ["fast"]) == []


def test_a_route_has_the_guards_of_all_that_it_may_lead_through() -> None:
    def rule(words: str) -> None:
        if not words.startswith("known"):
            raise ValueError(f"{words!r} is no rule")

    raw = b"""
routes:
  inner: {targets: [fake/fake], guards: ["known:a", "known:b"]}
  outer: {targets: [ollama/x, fake/fake], fallbacks: [inner], guards: ["known:a"]}
"""
    table = parse(raw, "routes.yaml", PROVIDERS, rule)
    assert {name: guards(table, route) for name, route in table.routes.items()} == {
        "inner": ("known:a", "known:b"),
        "outer": ("known:a", "known:b"),
    }
    with pytest.raises(Broken, match=r"routes.yaml:4:\d+: `guards`: 'other' is no rule"):
        parse(raw.replace(b'["known:a"]', b'["other"]'), "routes.yaml", PROVIDERS, rule)
