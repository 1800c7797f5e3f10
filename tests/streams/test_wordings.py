"""The prompt library at the command line."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from prompts import Library
from tests.streams.commands import here as run
from tests.streams.commands import served

OWN = """
slug: greet
variables: [{name: name, type: text}, {name: times, type: integer, default: 1}]
versions:
  - {version: 1, user: "Greet {{ name }}.", notes: first}
  - {version: 2, system: Be brief., user: "Greet {{ name }} {{ times }} times.", notes: second}
"""


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """A library of the user's, as the environment names it."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "greet.yaml").write_text(OWN, encoding="utf-8")
    return {"GENAI_PROMPTS_DIR": str(folder)}


def test_list_names_every_prompt_shipped_and_own(tmp_path: Path, own: dict[str, str]) -> None:
    told = orjson.loads(run(tmp_path, "prompts", "list", "--json", **own).stdout)["prompts"]
    assert [prompt["slug"] for prompt in told] == sorted([*Library.load().slugs(), "greet"])
    greet = next(prompt for prompt in told if prompt["slug"] == "greet")
    assert (greet["versions"], [(one["name"], one["required"]) for one in greet["variables"]]) == (
        [1, 2],
        [("name", True), ("times", False)],
    )
    assert "greet" in run(tmp_path, "prompts", "list", COLUMNS="40", **own).stdout


def test_show_says_one_version_whole(tmp_path: Path, own: dict[str, str]) -> None:
    first = orjson.loads(run(tmp_path, "prompts", "show", "greet", "--version", "1", "--json", **own).stdout)
    assert (first["version"], first["user"], [one["name"] for one in first["variables"]]) == (
        1,
        "Greet {{ name }}.",
        ["name"],
    )
    shown = run(tmp_path, "prompts", "show", "greet", **own).stdout
    assert [
        words for words in ("version 2", "also 1", "Be brief.", "times: integer, default 1") if words not in shown
    ] == []


def test_render_fills_in_and_calls_nothing(tmp_path: Path, own: dict[str, str]) -> None:
    made = run(tmp_path, "prompts", "render", "greet", "--var", "name=A=B", "--var", "times=3", "--json", **own)
    assert orjson.loads(made.stdout) == {
        "slug": "greet",
        "version": 2,
        "system": "Be brief.",
        "user": "Greet A=B 3 times.",
    }
    piped = run(tmp_path, "prompts", "render", "greet", "--var-file", "name=-", given="Æthel", **own)
    assert piped.stdout == "system:\nBe brief.\n\nuser:\nGreet Æthel 1 times.\n"


@pytest.fixture
def api(tmp_path: Path, own: dict[str, str]) -> Iterator[str]:
    with served(tmp_path / "web", "web", **own) as web:
        web.said("ready")
        yield web.said("the API listens")["url"]


def test_run_prints_the_answer_and_fails_where_the_request_fails(tmp_path: Path, own: dict[str, str], api: str) -> None:
    asked = ["prompts", "run", "greet", "--var", "name=Al", "--url", api, "--id", "a"]
    told = orjson.loads(run(tmp_path, *asked, "--json", **own).stdout)
    assert (told["status"], told["operation"], told["output"]["prompt"]["version"]) == (
        "succeeded",
        "execute_prompt",
        2,
    )
    again = run(tmp_path, *asked, **own)
    assert (again.returncode, again.stdout) == (0, f"{told['output']['content']}\n")
    other = run(tmp_path, *asked, "--version", "1", **own)
    assert (other.returncode, "idempotency_conflict" in other.stderr, other.stdout) == (1, True, "")
    missing = run(tmp_path, "prompts", "run", "greet", "--var", "name=Al", "--model", "nope", "--url", api, **own)
    assert (missing.returncode, "model_not_found" in missing.stderr) == (1, True)


def test_run_that_gets_no_answer_in_time_says_where_to_ask(tmp_path: Path, own: dict[str, str], api: str) -> None:
    slow = ["prompts", "run", "greet", "--var", "name=[fake:sleep:4]", "--timeout", "1", "--id", "s", "--url", api]
    found = run(tmp_path, *slow, **own)
    assert (found.returncode, f"ask again at {api}/v1/requests/s?" in found.stderr) == (1, True)
