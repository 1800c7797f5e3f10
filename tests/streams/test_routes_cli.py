"""`genai-spine routes`: what a person sees of a file of routes before a worker does."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas import routes
from streams.cli import app
from streams.errors import SpineError

pytestmark = pytest.mark.fast

ROUTES = """
routes:
  fast: {targets: [ollama/llama3.2], fallbacks: [fake/fake]}
  ab: {sticky: key, targets: [{model: fake/a, weight: 3}, {model: fake/b, arm: new}]}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    monkeypatch.setenv("GENAI_ROUTES", str(path))
    monkeypatch.setenv("GENAI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return path


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["routes", *words])
    if isinstance(found.exception, SpineError):
        raise found.exception
    return found.exit_code, found.output


def test_a_file_is_checked(file: Path) -> None:
    assert run("check") == (0, f"{file}: 2 routes, in order.\n")
    file.write_text("routes:\n  a: b\n  b: a\n")
    with pytest.raises(SpineError, match=r"routes\.yaml:3:3: these routes lead in a circle: `a` → `b` → `a`"):
        run("check")


def test_a_server_of_ours_is_known_to_the_check_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_COMPATIBLE", '{"vllm": {"base_url": "http://127.0.0.1:1/v1"}}')
    file.write_text("routes:\n  a: vllm/llama\n")
    assert run("check") == (0, f"{file}: 1 route, in order.\n")
    assert "vllm/llama" in run("list")[1]


def test_routes_are_listed_with_shares(file: Path) -> None:
    code, told = run("list")
    assert code == 0
    assert "fake/a 75%, fake/b 25%" in told and "ollama/llama3.2" in told
    assert [each["name"] for each in json.loads(run("list", "--json")[1])["routes"]] == ["fast", "ab"]


def test_where_a_request_would_go(file: Path) -> None:
    found = json.loads(run("explain", "fast", "--json")[1])
    assert (found["route"], found["taken"]) == ("fast", "ollama/llama3.2")
    keyed = [json.loads(run("explain", "ab", "--key", "user-7", "--json")[1])["arm"] for _ in range(3)]
    assert len(set(keyed)) == 1
    code, told = run(
        "explain",
        "local/smollm2-135m",
        "--body",
        '{"prompt": "a", "tools": [{"type": "function", "function": {"name": "f"}}]}',
    )
    assert (code, "`smollm2-135m` cannot do `tools`" in told) == (1, True)
    code, told = run("explain", "local/smollm2")
    assert (code, "Did you mean `smollm2-135m`?" in told) == (1, True)


def test_what_is_asked_wrongly_is_said(file: Path) -> None:
    for words, why in (
        (("explain", "-o", "nope"), "'nope' is not known"),
        (("explain", "--lane", "slow"), "'slow' is not known"),
        (("explain", "--body", "{"), "--body is not JSON"),
        (("explain", "--body", "[]"), "a JSON object"),
        (("check", str(file.parent / "none.yaml")), "cannot be read"),
    ):
        with pytest.raises(SpineError, match=why):
            run(*words)


def test_without_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_ROUTES", "")
    assert run("list") == (0, "There are no routes: GENAI_ROUTES is not set.\n")
    with pytest.raises(SpineError, match="There is no file of routes"):
        run("check")


def test_the_schema_that_editors_get(file: Path) -> None:
    assert json.loads(run("schema")[1]) == routes.json_schema()
