"""The quality bench: labels that hold, figures that are counted right, and a run through the ordinary path."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents import OPERATIONS
from agents.extract import USUAL_TYPES
from streams.quality import score
from streams.quality.score import Figure
from streams.quality.texts import ASKS, Text, categories, texts
from tests.streams.commands import run

_TEXT = Text(
    "t-1",
    "Norvale paid $1,200 in The Hague on Monday.",
    "merger",
    {"organization": ["Norvale"], "location": ["The Hague"], "money": ["$1,200"]},
    [["$1,200", "1200 dollars"], ["paid", "pay"]],
    ["$12", "sold"],
)


def _result(**output: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 2, "cost_usd": "0.000001500"}
    return {"status": "succeeded", "output": output, "warnings": [], "usage": usage, "latency_ms": 7}


def _failed(kind: str) -> dict[str, Any]:
    return {**_result(), "status": "failed", "output": None, "error": {"type": kind}}


def _entity(kind: str, text: str, start: int) -> dict[str, Any]:
    return {"type": kind, "text": text, "start": start, "end": start + len(text)}


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
    assert [fact for fact in text.must if not any(score.says(text.content, spelling) for spelling in fact)] == []
    assert [lie for lie in text.must_not if score.says(text.content, lie)] == []
    assert (len(text.must) >= 2, len(text.must_not) >= 2) == (True, True)


@pytest.mark.fast
@pytest.mark.parametrize("text", texts(), ids=lambda text: text.id)
def test_the_labels_themselves_are_scored_as_right(text: Text) -> None:
    entities = [
        _entity(kind, name, text.content.index(name)) for kind, names in text.entities.items() for name in names
    ]
    results = {
        "classify": _result(category=text.category),
        "extract": _result(entities=entities),
        "summarize": _result(summary=text.content),
    }
    assert {name: list(score.JUDGES[name]([(text, result)]).wrong) for name, result in results.items()} == {
        name: [] for name in ASKS
    }


@pytest.mark.fast
@pytest.mark.parametrize("operation", ASKS)
def test_every_request_is_a_valid_one(operation: str) -> None:
    for text in texts():
        OPERATIONS[operation].input.model_validate(ASKS[operation](text))


@pytest.mark.fast
def test_categories_are_counted() -> None:
    pairs = [(_TEXT, _result(category=given)) for given in ("merger", "economy", "weather")]
    assert score.classify([*pairs, (_TEXT, _failed("timeout"))]).figures == [
        Figure("answered", 3, 4),
        Figure("asked for", 2, 3, promise=True),  # weather was not
        Figure("accuracy", 1, 4),  # a failure is not right
    ]


@pytest.mark.fast
def test_entities_are_counted_once_each_with_or_without_their_article() -> None:
    found = [
        _entity("organization", "Norvale", 0),
        _entity("organization", "Norvale", 0),
        _entity("location", "Hague", 27),
        _entity("person", "Norvale", 3),  # wrong type, wrong place
    ]
    judged = score.extract([(_TEXT, _result(entities=found))])
    assert judged.figures == [
        Figure("answered", 1, 1),
        Figure("grounded", 3, 4, promise=True),
        Figure("precision", 2, 3),  # Norvale, Hague of those and the person
        Figure("recall", 2, 3),  # the money is missing
    ]
    assert judged.f1 == pytest.approx(2 / 3)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("summary", "facts", "clean", "invented"),
    [
        ("It paid $1,200.", 2, 1, 0),
        ("PAYS 1200 dollars", 2, 1, 0),
        ("It sold for $12.", 0, 0, 1),  # 12 is no figure of the text, nor is $12 the beginning of $1,200
        ("It repaid $1,2005.", 0, 1, 1),  # from the beginning of a word, to the end of a figure
    ],
)
def test_facts_are_looked_for_in_a_summary(summary: str, facts: int, clean: int, invented: int) -> None:
    found = {each.name: each.right for each in score.summarize([(_TEXT, _result(summary=summary))]).figures}
    assert found == {"answered": 1, "facts": facts, "no false fact": clean, "no invented figure": 1 - invented}


@pytest.mark.fast
def test_a_score_adds_up_what_was_used_and_names_failures() -> None:
    pairs = [(_TEXT, _result(category="merger")), (_TEXT, _failed("timeout"))]
    told = score.score("classify", "fake", "m", pairs).as_json()
    wanted = {"cost_usd": "0.000003", "input_tokens": 20, "failures": {"timeout": 1}, "median_ms": 7, "items": 2}
    assert {name: told[name] for name in wanted} == wanted


def test_a_run_asks_the_model_through_the_ledger_and_prices_it(tmp_path: Path) -> None:
    found = run(tmp_path, "bench", "quality", "--limit", "2", "--json")
    told = orjson.loads(found.stdout)
    assert (found.returncode, told["texts"], [each["operation"] for each in told["scores"]]) == (0, 2, list(ASKS))
    for each in told["scores"]:
        answered = {"right": 2, "of": 2, "share": 1.0}
        assert (each["figures"]["answered"], each["provider"], float(each["cost_usd"]) > 0) == (answered, "fake", True)
    assert list(tmp_path.iterdir()) == []  # the ledger was thrown away


def test_models_stand_side_by_side_in_a_table(tmp_path: Path) -> None:
    found = run(tmp_path, "bench", "quality", "--limit", "1", "-o", "classify", "--model", "fake", "--model", "fake")
    assert (found.returncode, found.stdout.count("fake/fake"), "\x1b" in found.stdout) == (0, 2, False)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--provider", "zz"], 2, "There is no provider 'zz'"),
        (["--model", "zz"], 1, "does not have the model zz"),
        (["-o", "embed"], 2, "There are no labels for embed"),
    ],
)
def test_what_cannot_be_measured_is_told(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    found = run(tmp_path, "bench", "quality", "--limit", "1", *arguments)
    assert (found.returncode, says in found.stderr, "Traceback" in found.stderr) == (code, True, False)


@pytest.mark.model
def test_the_local_model_keeps_the_promises(tmp_path: Path) -> None:
    arguments = ("--provider", "local", "--limit", "1", "-o", "classify", "-o", "extract", "--json")
    told = orjson.loads(run(tmp_path, "bench", "quality", *arguments, within_s=250).stdout)
    figures = {each["operation"]: each["figures"] for each in told["scores"]}
    assert (figures["classify"]["asked for"]["share"], figures["extract"]["grounded"]["share"]) in {
        (1.0, 1.0),
        (1.0, None),
    }


@pytest.mark.fast
def test_the_texts_have_a_licence_and_the_page_counts_them() -> None:
    folder = Path(score.__file__).parent
    assert "CC0 1.0" in (folder / "LICENSE").read_text(encoding="utf-8")
    counted = re.search(r"`texts.jsonl`: (\d+)", (folder / "README.md").read_text(encoding="utf-8"))
    assert counted is not None
    assert int(counted[1]) == len(texts())
