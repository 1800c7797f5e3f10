"""The quality bench: labels that hold, figures that are counted right, and a run through the ordinary path."""

import re
from collections import Counter
from pathlib import Path

import orjson
import pytest

from agents import OPERATIONS
from agents.extract import USUAL_TYPES
from streams import quality
from streams.quality.asks import ASKS
from streams.quality.judges import JUDGES
from streams.quality.score import score
from streams.quality.texts import Text, categories, sources, texts
from streams.quality.words import invents, says, says_one
from tests.streams.answers import as_labelled, succeeded
from tests.streams.commands import here, run

FOLDER = Path(quality.__file__).parent


@pytest.mark.fast
def test_there_are_a_hundred_texts_or_more_each_once_and_ten_of_each_category() -> None:
    found = texts()
    assert (len(found) >= 100, len({each.id for each in found}), len({each.content for each in found})) == (
        True,
        len(found),
        len(found),
    )
    assert min(Counter(each.category for each in found).values()) >= 10


@pytest.mark.fast
def test_a_few_texts_are_of_every_category() -> None:
    assert sorted(each.category for each in texts(10)) == sorted(categories())


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_labels_hold_in_their_text(text: Text) -> None:
    assert text.category in categories()
    assert set(text.entities) <= set(USUAL_TYPES)
    assert [name for names in text.entities.values() for name in names if name not in text.content] == []
    assert [fact for fact in text.must if not says_one(text.content, fact)] == []
    assert [lie for lie in text.must_not if says(text.content, lie)] == []
    assert (len(text.must) >= 2, len(text.must_not) >= 2) == (True, True)


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_a_question_is_answered_by_its_text_and_not_by_itself(text: Text) -> None:
    for asked in (text.question, text.sought):
        assert not says_one(asked.question, asked.answers)
        assert not asked.answers or says_one(text.content, asked.answers)
    assert text.question.answers


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_reports_differ_where_they_are_said_to(text: Text) -> None:
    """Each side is in its own report and in no other; every other figure is the same."""
    report = text.report.content
    for each in text.report.differs:
        assert (says_one(text.content, each.here), says_one(report, each.there)) == (True, True)
        assert (says_one(report, each.here), says_one(text.content, each.there)) == (False, False)
    assert 1 <= len(text.report.differs) <= 3
    assert not invents(report, text.content, *(there for each in text.report.differs for there in each.there))


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_what_a_rewriting_is_to_keep_and_to_leave_out_is_in_the_text(text: Text) -> None:
    assert all(says_one(text.content, fact) for fact in text.rewriting.keep)
    assert all(says(text.content, words) for words in text.rewriting.out)
    assert (len(text.rewriting.keep) >= 2, len(text.rewriting.out) >= 1) == (True, True)


@pytest.mark.fast
def test_of_the_questions_to_sources_half_are_not_told_there_and_so_of_a_few() -> None:
    assert [sum(not text.sought.answers for text in texts(limit)) for limit in (10, 20, 0)] == [5, 10, 51]


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_it_is_sought_among_three_of_its_category(text: Text) -> None:
    given = sources(text)
    assert (len({each.id for each in given}), {each.category for each in given}) == (3, {text.category})
    assert text in given


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_the_labels_themselves_are_scored_as_right(text: Text) -> None:
    results = {operation: succeeded(**output) for operation, output in as_labelled(text).items()}
    found = {operation: score(operation, "p", "m", [(text, result)]) for operation, result in results.items()}
    assert {operation: list(each.wrong) for operation, each in found.items()} == {name: [] for name in ASKS}
    assert [each.operation for each in found.values() if not all(figure.kept for figure in each.figures)] == []


@pytest.mark.fast
@pytest.mark.parametrize("operation", ASKS)
def test_every_request_is_a_valid_one(operation: str) -> None:
    for text in texts():
        OPERATIONS[operation].input.model_validate(ASKS[operation](text))


def test_a_run_asks_the_model_through_the_ledger_and_prices_it(tmp_path: Path) -> None:
    found = run(tmp_path, "bench", "quality", "--limit", "2", "--json")
    told = orjson.loads(found.stdout)
    assert (found.returncode, told["texts"], [each["operation"] for each in told["scores"]]) == (0, 2, list(ASKS))
    for each in told["scores"]:
        all_ = {"right": 2, "of": 2, "share": 1.0}
        assert (each["figures"]["answered"], each["figures"]["valid JSON"]) == (all_, all_)
        assert (each["provider"], float(each["cost_usd"]) > 0) == ("fake", True)
    assert list(tmp_path.iterdir()) == []  # the ledger was thrown away


def test_models_stand_side_by_side_in_a_table(tmp_path: Path) -> None:
    found = here(tmp_path, "bench", "quality", "--limit", "1", "-o", "classify", "--model", "fake", "--model", "fake")
    assert (found.returncode, found.stdout.count("fake/fake"), "\x1b" in found.stdout) == (0, 2, False)


def test_models_that_embed_stand_apart_from_those_that_chat(tmp_path: Path) -> None:
    arguments = ("-o", "embed", "-o", "classify", "--model", "fake", "--embed-model", "fake-embed", "--json")
    told = orjson.loads(here(tmp_path, "bench", "quality", "--limit", "1", *arguments).stdout)
    asked = [(each["operation"], each["model"]) for each in told["scores"]]
    assert (asked, told["left_out"]) == ([("classify", "fake"), ("embed", "fake-embed")], {})


def test_embed_is_left_out_where_nobody_asked_for_it_and_the_model_cannot(tmp_path: Path) -> None:
    found = here(tmp_path, "bench", "quality", "--limit", "1", GENAI_DEFAULT_EMBED_MODEL="fake")
    said = "embed was left out: `fake` cannot do `embed`"
    assert (found.returncode, said in found.stdout, "embed:" in found.stdout) == (0, True, False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--provider", "zz"], 2, "There is no provider 'zz'"),
        (["--model", "zz"], 1, "does not have the model zz"),
        (["-o", "moderate"], 2, "There are no labels for moderate"),
        (["-o", "embed", "--provider", "anthropic"], 1, "embed cannot be asked. `claude-"),
        (["-o", "embed", "--embed-model", "fake"], 1, "`fake` cannot do `embed`"),
        (["-o", "embed", "--embed-model", "zz"], 1, "does not have the model zz"),
        (["-o", "embed", "--model", "fake"], 2, "Leave --model out"),
        (["-o", "classify", "--embed-model", "fake-embed"], 2, "Leave --embed-model out"),
    ],
)
def test_what_cannot_be_measured_is_told(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    found = here(tmp_path, "bench", "quality", "--limit", "1", *arguments)
    assert (found.returncode, said in found.stderr, "Traceback" in found.stderr) == (code, True, False)


@pytest.mark.model
def test_the_local_models_keep_the_promises(tmp_path: Path) -> None:
    found = run(tmp_path, "bench", "quality", "--provider", "local", "--limit", "1", within_s=250)
    assert ("which the spine promises" in found.stdout, "embed: 1 texts" in found.stdout) == (False, True)


@pytest.mark.fast
def test_the_labels_have_a_licence_and_the_page_counts_them() -> None:
    files = sorted(path.name for path in FOLDER.glob("*.jsonl"))
    licence, page = ((FOLDER / name).read_text(encoding="utf-8") for name in ("LICENSE", "README.md"))
    counted = dict(re.findall(r"`(\w+\.jsonl)`: (\d+)", page))
    assert counted == {name: str(len((FOLDER / name).read_bytes().splitlines())) for name in files}
    assert ("CC0 1.0" in licence, [name for name in files if name not in licence]) == (True, [])


@pytest.mark.fast
def test_every_operation_has_a_hundred_labelled_texts_or_says_that_it_has_none() -> None:
    assert set(OPERATIONS) - set(ASKS) == {"moderate"}
    assert set(ASKS) == set(JUDGES)
