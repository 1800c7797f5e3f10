"""`genai-spine pipelines`: what needs no process, and what one runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli import app
from tests.parts.pdf import pdf
from tests.streams.commands import served
from tests.streams.test_cancel_cli import Ended, invoke

GOOD = """\
name: shout
inputs: {texts: {type: list, of: text}}
steps:
- {name: all, use: join, with: {texts: "${inputs.texts}"}}
- {name: said, use: rewrite, with: {content: "${steps.all.output}", tone: loud}}
collect: ${steps.said.output.content}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pipelines")
    (made / "shout.yaml").write_text(GOOD)
    (made / "broken.yaml").write_text(GOOD.replace("rewrite", "rewriet"))
    return made


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[str]:
    (folder / "mine").mkdir()
    (folder / "mine" / "shout.yaml").write_text(GOOD)
    with served(folder, "web", GENAI_POLL_S="0.1", GENAI_PIPELINES_DIR=str(folder / "mine")) as made:
        url = made.said("the API listens")["url"]
        made.said("ready")
        yield url


def said(folder: Path, *arguments: str) -> Ended:
    return invoke(app, folder, ["pipelines", *arguments])


def test_a_definition_is_checked_without_a_process(folder: Path) -> None:
    good, broken = said(folder, "check", "shout.yaml"), said(folder, "check", "broken.yaml")
    assert (good.code, good.out, broken.code) == (0, ["shout: 2 steps, in order."], 1)
    assert "broken.yaml:5:16: steps[1].use: there is no 'rewriet' (did you mean 'rewrite'?)" in broken.err


def test_what_there_is_is_listed_and_drawn(folder: Path) -> None:
    assert said(folder, "list").out[0].startswith("digest(texts, [max_sentences], [focus])  3 steps")
    assert [each["name"] for each in json.loads(said(folder, "list", "--json").out[0])] == ["digest", "rag_pipeline"]
    assert said(folder, "draw", "shout.yaml").out[-1] == "  said  rewrite  after all"
    assert "    all --> said" in said(folder, "draw", "shout.yaml", "--mermaid").out
    assert said(folder, "draw", "nope").code == 2


def test_a_pipeline_is_run_with_params_and_prints_its_result(folder: Path, web: str) -> None:
    ran = said(folder, "run", "shout", "-p", 'texts=["a", "b"]', "--url", web)
    failed = said(folder, "run", "shout", "--params", '{"texts": ["x [fake:rejected]"]}', "--url", web, "--json")
    assert (ran.code, isinstance(json.loads("\n".join(ran.out)), str)) == (0, True)
    assert (failed.code, json.loads(failed.out[0])["result"]["error"]["step"]) == (1, "said")


def test_documents_are_sent_as_files(folder: Path, web: str) -> None:
    (folder / "report.pdf").write_bytes(pdf(["Revenue was 4.2 billion."]))
    asked = ["run", "rag_pipeline", "-p", "query=What was the revenue?", "-d", "report.pdf", "--url", web]
    ran = said(folder, *asked)
    result = json.loads("\n".join(ran.out))
    assert (ran.code, "answer" in result, {each["document"] for each in result["sources"]} <= {"report.pdf"}) == (
        0,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "shout", "-p", "texts"], 2, "--param 'texts' is no NAME=VALUE"),
        (["run", "shout", "-p", "texts=@missing.txt"], 2, "Cannot read missing.txt"),
        (["run", "shout", "--params", "[]"], 2, "--params is no JSON object"),
        (["run", "rag_pipeline", "-d", "missing.pdf"], 2, "Cannot read missing.pdf"),
        (["run", "shout", "-p", "texts=x"], 1, "`params.texts` is a text; give a list."),
        (["run", "nope"], 1, "There is no pipeline 'nope'"),
        (["check", "missing.yaml"], 2, "Cannot read missing.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path, web: str, arguments: list[str], code: int, words: str
) -> None:
    ended = said(folder, *arguments, *(["--url", web] if arguments[0] == "run" else []))
    assert (ended.code, words in ended.err) == (code, True), ended


def test_a_broken_definition_ends_the_start_with_file_line_and_column(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_PIPELINES_DIR", str(folder))
    ended = said(folder, "list")
    assert (ended.code, "broken.yaml:5:16" in ended.err, "Mend that" in ended.err) == (1, True, True)
