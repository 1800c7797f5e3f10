"""`genai-spine budgets`, on a ledger that nobody serves."""

import json
from pathlib import Path

import pytest

from streams.cli import app
from tests.streams.test_cancel_cli import Ended, invoke

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("budgets")
    assert invoke(app, made, ["migrate"]).code == 0
    return made


def run(folder: Path, *arguments: str) -> Ended:
    return invoke(app, folder, ["budgets", *arguments])


def test_a_budget_is_set_changed_shown_and_removed(folder: Path) -> None:
    made = json.loads(run(folder, "set", "--tenant", "a", "--limit", "25", "--json").out[0])
    assert (made["per"], made["limit_usd"], made["hard"]) == ("month", "25.000000", True)
    run(folder, "set", "--tenant", "a", "--limit", "0.5", "--shadow")
    run(folder, "set", "--run", "nightly", "--limit", "3", "--per", "total")
    listed = json.loads(run(folder, "list", "--json").out[0])["items"]
    assert [(each["tenant"], each["run"], each["limit_usd"], each["hard"]) for each in listed] == [
        ("a", None, "0.500000", False),
        ("default", "nightly", "3.000000", True),
    ]
    assert "tenant a" in "\n".join(run(folder, "list").out)
    assert "limit_usd       0.500000" in run(folder, "show", str(made["id"])).out
    lines = run(folder, "history", str(made["id"])).out
    assert [line.split("  ")[1].split()[0] for line in lines] == ["set", "set"]
    assert run(folder, "remove", str(made["id"])).out == [f"Removed the budget {made['id']} (tenant a)."]
    again = run(folder, "remove", str(made["id"]))
    assert (again.code, "There is no budget" in again.err) == (1, True)


BAD = [
    (["set", "--limit", "3"], "say whose costs it counts"),
    (["set", "--limit", "lots", "--tenant", "a"], "'lots' is no amount of dollars"),
    (["set", "--limit", "3", "--model", "gpt"], "names no model"),
    (["set", "--limit", "3", "--tenant", "a", "--per", "year"], "'day', 'month' or 'total'"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_what_is_no_budget_is_refused_with_a_sentence(folder: Path, arguments: list[str], words: str) -> None:
    ended = run(folder, *arguments)
    assert (ended.code, words in ended.err) == (2, True), ended


def test_the_help_says_what_a_limit_of_0_lets_through(folder: Path) -> None:
    """Free models cost nothing, so nothing is reserved for them."""
    words = " ".join(" ".join(run(folder, "set", "--help").out).replace("│", " ").split())
    assert "0 lets only free models through" in words
