"""Replay, as far as it decides: what is chosen, what is asked anew, whether it fits the budget, how two answers differ."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from agents import OPERATIONS
from prompts import Library
from providers.prices import table
from schemas.replay import Comparison, ReplayPlan
from schemas.request import Lane
from store.ledger.chosen import Chosen, Range, Recorded, Standing
from store.ledger.replays import Original, Pair
from store.ledger.types.arrivals import Ask
from store.rows import pack_headers, unpack_headers
from store.tables import results
from streams import days, tables
from streams.commands import replay as commands
from streams.configured import make_decoder
from streams.errors import SpineError
from streams.providing import make_providers
from streams.replay import anew, choosing, diff, feeding, plan, running
from streams.replay.anew import Otherwise
from streams.replay.choosing import Told
from tests.parts.kafka import make_settings
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast

SETTINGS = make_settings(default_provider="fake")
DECODER = make_decoder(SETTINGS, make_providers(SETTINGS), Library.load())
PRICES = table({}, "test")
T = "genai.requests.summarize"
PLACES = Standing((1, 2), 2, {0: 10, 1: 4})


def refused(told: Told) -> tuple[str, int]:
    with pytest.raises(SpineError) as found:
        choosing.chosen_by(told, OPERATIONS)
        choosing.range_of(told, OPERATIONS)
    return str(found.value), found.value.exit_code


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(first="2026-11-22", last="2026-11-21"), "from=2026-11-22 is not before to=2026-11-21; exchange them."),
        (Told(first="yesterday"), "from='yesterday' is no moment"),
        (Told(status="waiting"), "Only what has ended can be replayed, and waiting has not"),
        (Told(status="done"), "status='done' is not known"),
        (Told(operation="translate"), "There is no operation 'translate'; there are classify, "),
        (Told(tenant="\n"), "is no name"),
        (Told(partition=0), "--partition, --from-offset and --to-offset need --topic."),
        (Told(from_offset=0), "need --topic."),
        (Told(topic="genai.results"), "is no request topic; those are named genai.requests.<operation>"),
        (Told(topic="genai.requests.translate"), "There is no topic genai.requests.translate"),
        (Told(topic=T, to_offset=3), "need --partition: each partition counts its own."),
        (Told(topic=T, partition=-1), "--partition -1 is none; write a whole number from 0 on."),
        (
            Told(topic=T, partition=0, from_offset=9, to_offset=8),
            "--from-offset 9 is after --to-offset 8; exchange them",
        ),
        (Told(topic=T, partition=0, to_offset=2**63), "--to-offset 9223372036854775808 is none"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(told: Told, words: str) -> None:
    said, code = refused(told)
    assert words in said
    assert code == 2


@pytest.mark.parametrize(
    ("wanted", "found", "words", "code"),
    [
        (Range(T), Standing((), 0, {}), f"This ledger has read nothing of {T}", 1),
        (Range(T), Standing((), 0, {0: 10}), f"This ledger has read nothing of {T}, or what it had read is pruned.", 1),
        (Range(T, 7), PLACES, f"nothing of partition 7 of {T}; of 0, 1 it has.", 2),
        (Range(T, 0, 10), PLACES, "Nothing was read from offset 10 of genai.requests.summarize/0 on", 1),
        (Range(T, 0, 2, 5), Standing((), 0, {0: 10}), "remembers nothing of offsets 2 to 5", 1),
    ],
)
def test_a_range_that_the_ledger_does_not_know_is_told(wanted: Range, found: Standing, words: str, code: int) -> None:
    with pytest.raises(SpineError) as said:
        choosing.stood_there(wanted, found)
    assert words in str(said.value)
    assert said.value.exit_code == code


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Range(T), ""),
        (Range(T, 1, 2, 3), ""),
        (Range(T, 1, 2, 99), ""),  # beyond what was read there is nothing yet: 2 and 3 are all
        (Range(T, 0), f"The ledger remembers 2 of the 10 offsets from 0 to 9 of {T}/0."),
    ],
)
def test_what_is_missing_of_a_range_is_told(wanted: Range, words: str) -> None:
    assert choosing.stood_there(wanted, PLACES) == words


@pytest.mark.parametrize("text", ["", "five", "nan", "inf", "-0.01", "1e12"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SpineError, match="--budget") as found:
        choosing.budget(text)
    assert found.value.exit_code == 2


def test_a_budget_is_dollars() -> None:
    assert [choosing.budget(text) for text in ("0", "2.50", "0.000000001")] == [0, 2_500_000_000, 1]


def test_ids_come_from_options_and_from_a_file_each_once(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("b\n\n a \nb\n", encoding="utf-8")
    assert choosing.ids_of(["a", "c"], file) == ("a", "c", "b")
    file.write_text("\n", encoding="utf-8")
    for wrong in (file, tmp_path / "none", tmp_path):
        with pytest.raises(SpineError) as found:
            choosing.ids_of([], wrong)
        assert found.value.exit_code == 2


def test_chosen_filters_are_written_down_and_read_back() -> None:
    told = Told("2026-11-20", "2026-11-21", status="failed,expired", operation="execute-prompt", tenant="t", run="r")
    since, until = days.moments("2026-11-20", "2026-11-21")
    found = choosing.only(choosing.chosen_by(told, OPERATIONS), {3, 1})
    assert found == Chosen(("failed", "expired"), "execute_prompt", "t", "r", since or 0, until or 0, (1, 3))
    for each in (found, Chosen()):
        assert Chosen.read(each.packed()) == each


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("nope@1", "there is no prompt 'nope'"),
        ("headline@99", "--prompt headline: the prompt 'headline' has no version 99"),
        ("headline@x", "write SLUG@VERSION, such as headline@2"),
        ("headline@0", "write SLUG@VERSION"),
        ("@1", "there is no prompt ''"),
    ],
)
def test_a_prompt_that_there_is_not_is_refused(prompt: str, words: str) -> None:
    with pytest.raises(SpineError) as found:
        settled(running.otherwise(None, None, prompt))
    assert words in str(found.value)
    assert found.value.exit_code == 2


def settled(otherwise: Otherwise) -> Otherwise:
    parts: Any = SimpleNamespace(decoder=DECODER, settings=SETTINGS)
    return running.settled(parts, running.Job("anew", Told(), otherwise=otherwise)).otherwise


@pytest.mark.parametrize(
    ("budget", "spent", "feared", "estimate", "verdict"),
    [
        (10, 0, 0, 10, "ask"),  # to the last nano-dollar
        (10, 0, 0, 11, "leave"),
        (10, 4, 3, 3, "ask"),
        (10, 4, 3, 4, "wait"),  # 4 + 4 fits, should the 3 turn out to be nothing
        (10, 7, 3, 4, "leave"),  # 7 + 4 does not, whatever the 3 turn out to be
        (0, 0, 0, 1, "leave"),
        (0, 0, 0, 0, "ask"),  # free models run under any budget
        (0, 5, 0, 0, "ask"),
        (10, 0, 0, None, "leave"),  # nothing prices it
    ],
)
def test_a_budget_is_never_exceeded_by_what_is_feared(
    budget: int, spent: int, feared: int, estimate: int | None, verdict: str
) -> None:
    assert anew.fits(budget, spent, feared, estimate) == verdict


def original(value: Any, **changes: Any) -> Original:
    row = {
        "pk": 7,
        "id": "feed/1",
        "tenant": "t",
        "operation": "summarize",
        "provider": "fake",
        "model": "fake",
        "state": "failed",
        "quiet": False,
        "error_type": "overloaded",
        "run_id": None,
        "pinned": None,
        "key": b"k",
        "lane": 1,
        "partition": 1,
        "source_topic": T,
        "source_partition": 1,
    }
    headers = pack_headers([("trace", b"1"), ("genai-id", b"feed/1"), ("genai-deadline", b"2020-01-01T00:00:00Z")])
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Original(SimpleNamespace(**row | changes), raw, headers)


ASKED = {
    "input": {"content": "One. Two."},
    "options": {"temperature": 0.5, "cache": "use"},
    "idempotency_key": "i",
    "supersede_key": "s",
    "deadline": "2020-01-01T00:00:00Z",
    "run_id": "nightly",
    "metadata": {"n": 1},
}


def test_what_is_asked_anew_has_an_identity_of_its_own_and_no_ties_to_others() -> None:
    found = anew.item(original(ASKED), "replay:r", Otherwise(model="other"), DECODER, PRICES, Recorded())
    assert found.ask is not None
    ask = found.ask
    assert (ask.tenant, ask.operation, ask.id, ask.run_id) == ("t", "summarize", "replay:r/feed/1", "replay:r")
    assert (ask.provider, ask.model, ask.lane, ask.on_ambiguous, ask.failure) == ("fake", "other", 2, "fail", None)
    assert (ask.deadline, ask.idempotency_key, ask.supersede_key, ask.metadata) == (None, None, None, {"n": 1})
    assert unpack_headers(found.headers) == [("trace", b"1")]
    options = json.loads(found.value)["options"]
    assert (options["temperature"], options["cache"]) == (0.5, "off")


@pytest.mark.parametrize(
    ("otherwise", "chosen"),
    [
        (Otherwise(), ("fake", "fake")),
        (Otherwise(model="m"), ("fake", "m")),
        (Otherwise(provider="ollama"), ("ollama", "llama3.2:latest")),  # its own default
        (Otherwise(provider="ollama", model="m"), ("ollama", "m")),
    ],
)
def test_the_model_is_that_of_before_unless_another_is_named(otherwise: Otherwise, chosen: tuple[str, str]) -> None:
    found = anew.item(original(ASKED), "replay:r", otherwise, DECODER, PRICES, Recorded())
    assert found.ask is not None
    assert (found.ask.provider, found.ask.model) == chosen


def test_another_prompt_takes_the_variables_of_before() -> None:
    asked = {"input": {"prompt": "old", "label": "x", "variables": {"content": "A text."}}}
    otherwise = settled(running.otherwise(None, None, "headline"))
    value = anew.record(original(asked, operation="execute_prompt"), "replay:r", otherwise)
    assert json.loads(value or b"")["input"] == {
        "prompt": "headline",
        "version": otherwise.version,
        "variables": {"content": "A text."},
    }


def test_without_another_prompt_it_is_asked_in_the_very_words_of_before() -> None:
    """Whatever a label stands for now, and whether operators had words of their own then or not."""
    headline = DECODER.library.wording("headline")
    pinned = f"{headline.pin} production"
    asked = {"input": {"prompt": "headline", "label": "production", "variables": {"content": "A text."}}}
    named = anew.item(
        original(asked, operation="execute_prompt", pinned=pinned), "replay:r", Otherwise(), DECODER, PRICES, Recorded()
    )
    own = f"{DECODER.library.wording('summarize').pin} production@1/2"
    found = anew.item(original(ASKED, pinned=own), "replay:r", Otherwise(model="m"), DECODER, PRICES, Recorded())
    assert named.ask is not None
    assert found.ask is not None
    assert (named.ask.failure, named.ask.pinned, found.ask.pinned) == (None, str(headline.pin), own)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[1]", {"input": 3}])
def test_a_record_that_is_not_kept_or_none_is_not_asked(value: Any) -> None:
    assert anew.item(original(value), "replay:r", Otherwise(), DECODER, PRICES, Recorded()).ask is None


def test_a_long_id_gives_way_to_the_rows_number() -> None:
    assert anew.identity("replay:r", SimpleNamespace(id="x" * 512, pk=7)) == "replay:r/7"


def ask(provider: str) -> Ask:
    return Ask("t", "summarize", "a", b"", provider=provider, model="m")


@pytest.mark.parametrize(
    ("provider", "recorded", "cost"),
    [
        # 100 in and 10 out at 0.15 and 0.60 dollars a million; feared were 200 and 50
        ("fake", Recorded(1, 100, 10, 200, 50, 1.0), (21_000, 60_000)),
        # what was counted beyond what had been feared is feared now
        ("fake", Recorded(1, 300, 10, 200, 5, 1.0), (51_000, 51_000)),
        ("ollama", Recorded(1, 100, 10, 200, 50, 1.0), (0, 0)),
        ("nobody", Recorded(1, 100, 10, 200, 50, 1.0), (None, None)),
    ],
)
def test_a_cost_is_told_by_the_recorded_calls(provider: str, recorded: Recorded, cost: Any) -> None:
    assert anew.cost(PRICES, ask(provider), b"{}", recorded) == cost


def test_without_an_answer_of_before_the_record_itself_is_weighed() -> None:
    about, most = anew.cost(PRICES, ask("fake"), b'{"options": {"max_tokens": 100}}', Recorded())
    assert about == most
    assert 60_000 < (most or 0) < 70_000  # 100 tokens out at 0.60 dollars a million, and a few in


WIDTHS = {T: 2, "genai.requests.embed.batch": 3}


def test_what_failed_is_sent_again_as_it_was_under_its_identity() -> None:
    row = feeding.record_again(original(ASKED), WIDTHS, 10_000)
    assert row is not None
    assert (row["topic"], row["partition"], row["key"], json.loads(row["value"])) == (T, 1, b"k", ASKED)
    assert unpack_headers(row["headers"]) == [
        ("trace", b"1"),
        ("genai-id", b"feed/1"),
        ("genai-tenant", b"t"),
        ("genai-deadline", b"2020-01-01T00:00:00Z"),
    ]


def test_what_expired_is_sent_again_without_its_deadline() -> None:
    row = feeding.record_again(original(ASKED, state="expired", error_type=None), WIDTHS, 10_000)
    assert row is not None
    assert json.loads(row["value"]) == {name: value for name, value in ASKED.items() if name != "deadline"}
    assert "genai-deadline" not in dict(unpack_headers(row["headers"]))


def test_what_came_over_http_goes_to_the_topic_of_its_operation_and_lane() -> None:
    row = feeding.record_again(
        original(ASKED, operation="embed", lane=2, source_topic=None, partition=5), WIDTHS, 10_000
    )
    assert row is not None
    assert (row["topic"], row["partition"]) == ("genai.requests.embed.batch", 2)


@pytest.mark.parametrize(
    ("value", "changes", "most"),
    [
        (ASKED, {"state": "succeeded", "error_type": None}, 10_000),
        (ASKED, {"state": "calling", "error_type": None}, 10_000),
        (ASKED, {"error_type": "invalid_request"}, 10_000),
        (ASKED, {"run_id": "replay:r"}, 10_000),
        (None, {}, 10_000),
        (ASKED, {}, 4_000),
    ],
)
def test_what_it_would_not_help_is_left_alone(value: Any, changes: dict[str, Any], most: int) -> None:
    assert feeding.record_again(original(value, **changes), WIDTHS, most) is None


def result(output: Any = None, status: str = "succeeded", cost: str | None = "0.5", ms: int = 10, **more: Any) -> bytes:
    told = {"status": status, "output": output, "error": None, "provider": "p", "model": "m", "latency_ms": ms}
    return json.dumps(told | {"usage": {"cost_usd": cost}} | more).encode()


FAILED = {"status": "failed", "error": {"type": "refused"}}


@pytest.mark.parametrize(
    ("before", "after", "outcome", "fields"),
    [
        (result({"summary": "a"}), result({"summary": "a"}, ms=99), "same", []),
        (result({"summary": "a", "x": 1}), result({"summary": "b", "x": 1}), "changed", ["output.summary"]),
        (result({"e": [{"t": 1}, {"t": 2}]}), result({"e": [{"t": 1}, {"t": 3}]}), "changed", ["output.e[1].t"]),
        (result({"e": [{"t": 1}]}), result({"e": []}), "changed", ["output.e"]),
        (result({"v": [[1.0, 2.0]]}), result({"v": [[1.0, 2.5]]}), "changed", ["output.v"]),
        (result({"x": 1}), result({"y": 1}), "changed", ["output.x", "output.y"]),
        (result({"x": 1}), result(None, **FAILED), "failed", ["status", "error.type", "output"]),
        (result(None, **FAILED), result(None, **FAILED), "failed", []),
        (result(None, **FAILED), result({"x": 1}), "changed", ["status", "error.type", "output"]),
        (None, result({"x": 1}), "changed", ["status"]),
        (result({"x": 1}), None, "unfinished", []),
    ],
)
def test_two_answers_are_held_against_each_other(
    before: bytes | None, after: bytes | None, outcome: str, fields: list[str]
) -> None:
    found = diff.compared(Pair(1, "t", "o", "a", True, 0, before, after))
    assert (found.outcome, found.fields) == (outcome, fields)


def test_by_which_version_a_prompt_asked_is_no_part_of_its_answer() -> None:
    before, after = (result({"content": "a", "prompt": {"version": number}}) for number in (1, 2))
    assert diff.compared(Pair(1, "t", "execute_prompt", "a", True, 0, before, after)).outcome == "same"


def test_of_the_first_that_differ_both_answers_are_told_as_far_as_they_are_short() -> None:
    long = result({"summary": "x" * 700, "n": 2})
    pairs = [Pair(n, "t", "o", str(n), True, 0, result({"summary": "a", "n": 1}), long) for n in range(9)]
    pairs.insert(0, Pair(9, "t", "o", "same", True, 0, long, long))
    found = diff.comparison("replay:r", pairs, ended=True).examples
    assert [(each.id, each.field) for each in found[:3]] == [
        ("0", "output.n"),
        ("0", "output.summary"),
        ("1", "output.n"),
    ]
    assert (len(found), found[1].before, found[1].after) == (10, "a", f"{'x' * 600}…")
    assert (found[0].before, found[0].after) == ("1", "2")


def test_a_run_is_summed_up_over_what_has_ended_on_both_sides_alike() -> None:
    pairs = [
        Pair(1, "t", "o", "a", True, 0, result({"e": [{"t": 1}]}, ms=10), result({"e": [{"t": 2}]}, cost="0.1", ms=4)),
        Pair(2, "t", "o", "b", True, 0, result({"x": 1}, ms=30), result({"x": 1}, cost=None, ms=8)),
        Pair(3, "t", "o", "c", True, 0, result({"x": 1}, cost="9"), None),
        Pair(4, "t", "o", "d", False, 5, result({"x": 1}, cost="9"), None),
    ]
    found = diff.comparison("replay:r", pairs, left_out=(1, 5_000), ended=False)
    assert found.model_dump(exclude={"items", "examples"}) == {
        "run": "replay:r",
        "ended": False,
        "counts": {"same": 1, "changed": 1, "failed": 0, "unfinished": 1, "left_out": 1},
        "fields": {"output.e.t": 1},
        "original": {
            "answers": 2,
            "cost_usd": "1.000000",
            "unpriced": 0,
            "latency_ms_median": 20,
            "models": ["p/m"],
        },
        "replay": {"answers": 2, "cost_usd": "0.100000", "unpriced": 1, "latency_ms_median": 6, "models": ["p/m"]},
        "left_out_usd": "0.000005",
    }
    assert Comparison.model_validate_json(found.model_dump_json()) == found


TOLD = {
    "calls": 5,
    "input_tokens": 50,
    "output_tokens": 5,
    "cached_tokens": 0,
    "cost_usd": "0.000050",
    "unpriced_calls": 0,
}
EVENT = {"input_tokens": 10, "output_tokens": 1, "cached_tokens": 0, "cost_usd": "0.00001"}


@pytest.mark.parametrize(
    ("seen", "calls"),
    [
        (None, 6),  # an empty table: the totals of the first five, and the sixth
        (3, 6),  # it had lost something
        (5, 6),  # it had them all
        (6, 9),  # the sixth came before the totals of five, which are older: nothing changes
    ],
)
def test_totals_are_taken_over_and_what_comes_behind_them_is_added(seen: int | None, calls: int) -> None:
    """`calls` 9 stands for what the table had by itself."""
    before = None if seen is None else {**TOLD, "calls": 9, "seen": {"l/0": seen, "other/0": 2}, "position": [0, 1]}
    total = tables.restated(before, TOLD, "l/0", 5, (0, 7)) or before
    total = tables.fold(total, EVENT, "l/0", 6, (0, 8)) or total
    assert total is not None
    assert (total["calls"], total["seen"]["l/0"]) == (calls, 6)
    assert total["seen"].get("other/0") == (None if seen is None else 2)


def test_no_producer_may_name_a_run_as_replays_are_named() -> None:
    value = json.dumps({"input": {"content": "One."}, "run_id": "replay:mine"}).encode()
    found = DECODER.ask("summarize", Lane.NORMAL, value, [], place="p", tenant="t")
    assert isinstance(found, Ask)
    assert found.failure is not None
    assert "belong to `genai-spine replay`" in found.failure.message


async def test_a_plan_promises_what_is_kept_and_tells_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        pruned = ("[fake:refused]", "two", "three")
        for number, content in enumerate((*pruned, "kept")):
            await api.post("/v1/summarize", json={"content": content, "id": f"{number}"})
        await spine.database.write(
            lambda conn: conn.execute(delete(results).where(results.c.request_pk <= len(pruned)))
        )
        parts: Any = None  # whoever calls nothing needs none

        def made(conn: Connection, state: str = "") -> ReplayPlan:
            return plan.made(conn, parts, "recorded", Chosen(states=(state,) if state else ()), Otherwise())[0]

        whole = await spine.database.read(made)
        failed = await spine.database.read(partial(made, state="failed"))
    assert [(each.recorded.requests, each.anew.requests, each.unkept) for each in (whole, failed)] == [
        (1, 1, 3),
        (0, 0, 1),
    ]
    commands._print_plan(whole)
    again = failed.model_copy(update={"mode": "again"})
    assert commands._something(again) is False
    said = capsys.readouterr().err
    assert "3 have ended, but their answers are no longer kept" in said
    assert "1 answers would be published again" in said
    assert said.endswith("Nothing of it can be run again.\n")
