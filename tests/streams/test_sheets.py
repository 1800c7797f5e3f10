"""Sheets of prompts: what they say by number is said by the numbers here, in whatever order the prompts stand."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from schemas.prompts import Edit, Move, NewPrompt
from store.registry import read
from store.registry.errors import Archived, RegistryError
from streams.prompting import changing, importing, looking, sheets
from streams.prompting.changing import By
from streams.prompting.registry import BadPrompt
from tests.parts.ledgers import place
from tests.store.ground import ROUTES

HERE, THERE = By("here", "ada"), By("there", "bo")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    place(tmp_path / "ledger.db")
    with create_engine(f"sqlite:///{tmp_path / 'ledger.db'}").connect() as made:
        yield made


def sheet(slug: str, *templates: str, **more: Any) -> dict[str, Any]:
    """Versions 1, 2, … with these templates."""
    versions = [
        {"version": number, "notes": "x", "template": template} for number, template in enumerate(templates, start=1)
    ]
    return {"slug": slug, "versions": versions, **more}


def put(conn: Connection, *told: dict[str, Any], by: By = HERE) -> list[dict[str, Any]]:
    return importing.imported(conn, ROUTES, by, sheets.read_sheets(yaml.safe_dump_all(told), "x.yaml"))


def says(conn: Connection, slug: str, number: int) -> str:
    """All that a version says, without includes."""
    told = looking.one_version(conn, looking.find(conn, slug, "here"), number)
    return str(told.get("expanded", told)["template"])


def labels(conn: Connection, slug: str) -> dict[str, Any]:
    return {row.label: looking.arms(row.arms) for row in read.labels(conn, looking.find(conn, slug, "here").id)}


# what stood here; the sheet and its labels; which versions were made; where the labels are
NUMBERS: list[tuple[tuple[str, ...], tuple[str, ...], dict[str, Any], list[int], dict[str, Any]]] = [
    (("a", "b"), ("c", "d"), {"production": 2}, [3, 4], {"production": 4}),
    (("a", "b"), ("c", "d"), {"beta": {1: 9, 2: 1}}, [3, 4], {"beta": {"3": 9, "4": 1}}),
    (("a", "b"), ("b", "c"), {"production": 1}, [3], {"production": 2}),  # its first one is version 2 here
    (("a", "b"), ("b", "a"), {"production": 2}, [], {"production": 1}),
    (
        ("a",),
        ("a", "b", "a"),
        {"production": 3},
        [2, 3],
        {"production": 3},
    ),  # back to old words, by a version of its own
    (("a",), ("a", "a"), {"beta": {1: 2, 2: 3}}, [], {"beta": 1}),  # both are version 1 here
]


@pytest.mark.parametrize(("before", "after", "where", "made", "stand"), NUMBERS)
def test_labels_stand_for_the_words_that_the_sheet_means(
    conn: Connection,
    before: tuple[str, ...],
    after: tuple[str, ...],
    where: dict[str, Any],
    made: list[int],
    stand: dict[str, Any],
) -> None:
    put(conn, sheet("p", *before))
    first, again = (put(conn, sheet("p", *after, labels=where))[0] for _ in range(2))
    assert (first["versions"], first["labels"], labels(conn, "p")) == (made, list(where), stand)
    assert (again["versions"], again["labels"]) == ([], [])


def test_includes_take_over_the_words_that_the_sheet_means(conn: Connection) -> None:
    put(conn, sheet("rules", "mine", "mine too"))
    put(conn, sheet("p", '{% include "rules@2" %}'), sheet("rules", "theirs", "theirs too"))
    assert (says(conn, "p", 1), says(conn, "rules", 2)) == ("theirs too", "mine too")


def test_versions_come_after_what_they_include_whatever_the_order_of_the_sheets(conn: Connection) -> None:
    told = put(
        conn,
        sheet("a", "plain a", 'a of {% include "b@1" %}'),
        sheet("b", "plain b", 'b of {% include "a@1" %}'),
        sheet("c", 'c of {% include "d" %}'),
        sheet("d", "old d", "new d"),
    )
    assert [(each["slug"], each["versions"]) for each in told] == [
        ("a", [1, 2]),
        ("b", [1, 2]),
        ("c", [1]),
        ("d", [1, 2]),
    ]
    assert [says(conn, *node) for node in [("a", 2), ("b", 2), ("c", 1)]] == [
        "a of plain b",
        "b of plain a",
        "c of new d",
    ]


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([sheet("a", '{% include "b@1" %}'), sheet("b", '{% include "a@1" %}')], "in a loop: "),
    ([sheet("a", "x", '{% include "a@1" %}')], "version 2 of the prompt 'a': `template`: the prompt includes itself"),
    (
        [sheet("a", '{% include "b@9" %}'), sheet("b", "x")],
        "includes 'b@9', which is not in the sheet of that prompt; it has 1",
    ),
    ([sheet("a", '{% include "nope" %}')], "version 1 of the prompt 'a': `template`: there is no prompt 'nope'"),
    ([sheet("a", "x"), sheet("a", "y")], "stands there twice"),
    ([sheet("a", "x", labels={"production": 2})], "production of 'a' names version 2, which is not in the sheet"),
    ([sheet("a", "x", labels={"latest": 1})], "always the newest"),
    ([sheet("a", "x", labels={"production": {1: 0}})], "greater than or equal to 1"),
    ([{**sheet("a", "x"), "versions": sheet("a", "x")["versions"] * 2}], "a number stands twice"),
]


@pytest.mark.parametrize(("told", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_sheets_that_mean_nothing_are_refused(conn: Connection, told: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        put(conn, *told)
    assert words in str(caught.value)


# archived here; what the sheet says; the wording that it brings; what is told of the archive; archived afterwards
ARCHIVED: list[tuple[bool, bool | None, str, bool | None, bool]] = [
    (True, True, "x", None, True),
    (True, None, "x", None, True),
    (True, True, "y", None, True),
    (True, False, "x", False, False),
    (True, False, "y", False, False),
    (False, True, "x", True, True),
    (False, True, "y", True, True),
    (False, None, "y", None, False),
]


@pytest.mark.parametrize(("before", "said", "words", "told", "after"), ARCHIVED)
def test_a_prompt_is_archived_where_the_sheet_says_so(
    conn: Connection, before: bool, said: bool | None, words: str, told: bool | None, after: bool
) -> None:
    put(conn, sheet("p", "x", archived=before, labels={"production": 1}))
    made = put(conn, sheet("p", words, archived=said, labels={"production": 1}))[0]
    again = put(conn, sheet("p", words, archived=said, labels={"production": 1}))[0]
    archived = looking.find(conn, "p", "here").archived_at is not None
    assert (made["archived"], archived, again["archived"], again["versions"], again["labels"]) == (
        told,
        after,
        None,
        [],
        [],
    )


def test_an_archived_prompt_is_not_changed_by_a_sheet_that_does_not_say_what_becomes_of_it(conn: Connection) -> None:
    put(conn, sheet("p", "x", archived=True))
    with pytest.raises(Archived, match="restore it first"):
        put(conn, sheet("p", "y"))


SLUGS = ("a", "b", "c")
_ODD = st.text(st.sampled_from("ab \t\n\r\x00\x7f\x85\u2028\ufeff:#-'\"|>é☂🜁"), max_size=8)
_INCLUDES = st.builds(
    lambda slug, at: f'{{% include "{slug}{at}" %}}', st.sampled_from(SLUGS), st.sampled_from(["", "@1", "@2"])
)
_TEMPLATES = st.lists(st.one_of(_ODD, _INCLUDES), min_size=1, max_size=4).map("".join).filter(bool)
_WORDS = st.fixed_dictionaries(
    {"template": _TEMPLATES},
    optional={
        "system": _TEMPLATES,
        "name": _ODD,
        "description": _ODD,
        "variables": st.just([{"name": "n", "type": "number", "default": 1e-07, "most": 1e16}]),
        "output_schema": st.builds(lambda words: {"type": "string", "enum": [words, "on", "1"]}, _ODD),
        "preferences": st.just({"temperature": 0.1}),
        "is_public": st.booleans(),
    },
)
_ARMS = st.dictionaries(st.integers(1, 3), st.integers(1, 9), min_size=1, max_size=3)
_STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(SLUGS), _WORDS),
    st.tuples(st.just("move"), st.sampled_from(SLUGS), st.tuples(st.sampled_from(["production", "on"]), _ARMS)),
    st.tuples(st.just("archive"), st.sampled_from(SLUGS), st.booleans()),
)


RICH: list[tuple[str, str, Any]] = [
    ("write", "b", {"template": "one", "description": "\x85 \u2028\n end: "}),
    ("write", "a", {"template": '{% include "b" %}\r\n {% include "b@1" %}'}),
    ("write", "b", {"template": "two", "name": ""}),
    ("write", "c", {"template": '{% include "b" %}, {% include "a" %} and {% include "b@1" %}', "system": "\tb"}),
    ("write", "b", {"template": "one"}),  # what version 1 says, again
    ("move", "b", ("production", {3: 1})),
    ("move", "c", ("on", {1: 5})),
    ("write", "c", {"template": "{{ n }}", "variables": [{"name": "n", "type": "number", "default": 1e-07}]}),
    ("move", "c", ("production", {2: 1, 1: 9})),
    ("archive", "c", True),
    ("archive", "b", True),
]


@example(RICH)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_STEPS, min_size=2, max_size=14))
def test_what_is_exported_and_imported_elsewhere_is_exported_there_byte_for_byte(
    conn: Connection, steps: list[tuple[str, str, Any]]
) -> None:
    for what, slug, told in steps:
        with contextlib.suppress(RegistryError, BadPrompt):
            _did(conn, what, slug, told)
    written = exported(conn, "here")
    if written:
        importing.imported(conn, ROUTES, THERE, sheets.read_sheets(written, "x.yaml"))
        again = importing.imported(conn, ROUTES, HERE, sheets.read_sheets(written, "x.yaml"))
        assert exported(conn, "there") == exported(conn, "here") == written
        assert digests(conn, "there") == digests(conn, "here")
        assert {(*each["versions"], *each["labels"], each["archived"]) for each in again} == {(None,)}
    conn.rollback()


def _did(conn: Connection, what: str, slug: str, told: Any) -> None:
    if what == "move":
        label, arms = told
        changing.move(conn, ROUTES, HERE, slug, Move(label=label, weights=arms, why="x"))
    elif what == "archive":
        changing.archive(conn, HERE, slug, archived=told)
    elif slug in read.slugs(conn, "here"):
        changing.edit(conn, ROUTES, HERE, slug, Edit(**told))
    else:
        changing.create(conn, ROUTES, HERE, NewPrompt(slug=slug, **told))


def exported(conn: Connection, tenant: str) -> str:
    return "---\n".join(sheets.exported(conn, prompt) for prompt in read.of_tenant(conn, tenant))


def digests(conn: Connection, tenant: str) -> list[tuple[str, int, str]]:
    """Of everything that the tenant has."""
    return [
        (prompt.slug, row.version, row.digest)
        for prompt in read.of_tenant(conn, tenant)
        for row in read.versions(conn, prompt.id)
    ]
