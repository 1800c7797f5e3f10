"""Sheets of prompts: what they say by number is said by the numbers here, in whatever order the prompts stand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Connection, create_engine

from store.registry import read
from streams.prompting import importing, looking, sheets
from streams.prompting.changing import By
from streams.prompting.registry import BadPrompt
from tests.parts.ledgers import place
from tests.store.ground import ROUTES

HERE = By("here", "ada")


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
