"""The command line on a real broker: a worker in a process of its own, and the commands around it."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from streams import reading
from streams.broker import control
from tests.parts.kafka import make_settings
from tests.streams import commands
from tests.streams.commands import Served, ask, here, on_a_terminal, run, served

pytestmark = pytest.mark.kafka

LINES = "\n".join(
    orjson.dumps(line).decode()
    for line in (
        {"operation": "summarize", "id": "s", "input": {"content": "One. Two."}, "tenant": "t1"},
        {"operation": "classify", "id": "c", "content": "One.", "categories": ["x", "y"]},
        {"operation": "embed", "content": "One."},
        {"operation": "summarize", "id": "dead", "input": {"content": "x [fake:refused*1]"}},
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a broker of its own, since the `genai.` topics cannot be shared."""
    made = tmp_path_factory.mktemp("cli")
    settings = make_settings(data_dir=made, kafka_port=0, kafka_brokers="")
    control.start(settings)
    yield made
    control.stop(settings, timeout_s=5)


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Served]:
    with served(folder, "worker") as made:
        made.said("ready")
        yield made


@pytest.fixture(scope="module")
def results(folder: Path, worker: Served) -> dict[str, dict[str, object]]:
    """What `submit --wait` said, by id."""
    found = run(folder, "submit", "-", "--wait", "--json", "--timeout", "60", given=LINES)
    assert found.returncode == 1, found.stderr  # one of them fails
    return {result["id"]: result for result in map(orjson.loads, found.stdout.splitlines())}


def test_submit_waits_for_each_result_by_its_identity(results: dict[str, dict[str, object]]) -> None:
    assert {id_: result["status"] for id_, result in results.items() if not id_.startswith("submit/")} == {
        "s": "succeeded",
        "c": "succeeded",
        "dead": "failed",
    }
    made = [result for id_, result in results.items() if id_.startswith("submit/")]
    assert [(result["operation"], result["metadata"]) for result in made] == [("embed", {"item": "line 3"})]


def test_results_shows_the_latest(folder: Path, results: dict[str, dict[str, object]]) -> None:
    shown = run(folder, "results", "-n", "100", "--json").stdout.splitlines()
    assert {orjson.loads(line)["id"] for line in shown} >= set(results)


def test_all_four_books_agree(folder: Path, results: dict[str, dict[str, object]]) -> None:
    for _ in range(20):  # the table is folded a moment later
        found = run(folder, "costs", "--check", "--json")
        if found.returncode == 0:
            break
        time.sleep(0.5)
    told = orjson.loads(found.stdout)
    assert (told["ok"], set(told["sums"])) == (True, {"daily_costs", "journal", "usage", "table"})
    assert told["sums"]["daily_costs"] == orjson.loads(run(folder, "costs", "--json").stdout)["totals"]["cost_usd"]


def test_a_dead_letter_is_shown_and_replayed_under_its_identity(
    folder: Path, results: dict[str, dict[str, object]]
) -> None:
    (letter,) = [orjson.loads(line) for line in run(folder, "dlq", "list", "--json").stdout.splitlines()]
    assert (letter["id"], letter["error_type"], orjson.loads(letter["value"])["id"]) == ("dead", "refused", "dead")
    assert "genai-error-type: refused" in run(folder, "dlq", "show", letter["place"]).stdout
    assert run(folder, "dlq", "replay", letter["place"]).returncode == 0
    until = time.monotonic() + 30
    while time.monotonic() < until:
        shown = map(orjson.loads, run(folder, "results", "-n", "100", "--json").stdout.splitlines())
        again = [result for result in shown if result["id"] == "dead" and result["generation"] == 2]
        if again:
            break
    assert again[0]["status"] == "succeeded"
    left = run(folder, "dlq", "list", "--json")
    assert (left.stdout, "1 more were answered since" in left.stderr) == ("", True)
    (told,) = map(orjson.loads, run(folder, "dlq", "list", "--all", "--json").stdout.splitlines())
    assert (told["place"], told["now"]) == (letter["place"], "answered")


def _calls(folder: Path) -> int:
    return int(orjson.loads(run(folder, "costs", "--json").stdout)["totals"]["calls"])


def test_out_is_gone_on_with_and_nothing_is_sent_or_paid_again(folder: Path, worker: Served) -> None:
    lines = [orjson.dumps({"operation": "summarize", "content": f"Number {n} is here."}) for n in range(6)]
    (folder / "six.jsonl").write_bytes(b"\n".join([*lines[:4], b"{", *lines[4:]]))
    arguments = ("submit", "six.jsonl", "--out", "six.out", "--timeout", "60")
    first = run(folder, *arguments)
    sent, broken, outcome = first.stderr.splitlines()
    assert (first.returncode, first.stdout, sent, outcome) == (1, "", "Sent 6 records.", "6 succeeded, 0 did not.")
    assert broken.startswith("Line 5 is not JSON")
    written = (folder / "six.out").read_bytes()
    assert sorted(orjson.loads(line)["metadata"]["item"][-1] for line in written.splitlines()) == list("123467")
    calls = _calls(folder)
    with (folder / "six.out").open("r+b") as out:  # as a run leaves it that was killed in the middle of a line
        out.truncate(len(written) - 10)
    again = run(folder, *arguments)
    assert again.stderr.splitlines()[::2] == [
        "Sent 1 records. 5 had their result already.",
        "1 succeeded, 0 did not.",
    ]
    assert {orjson.loads(line)["id"] for line in (folder / "six.out").read_bytes().splitlines()} == {
        orjson.loads(line)["id"] for line in written.splitlines()
    }
    assert _calls(folder) == calls


def test_an_id_that_stands_twice_keeps_the_answer_that_was_paid(folder: Path, worker: Served) -> None:
    lines = [{"operation": "summarize", "id": "twice", "content": content} for content in ("One.", "Other.")]
    (folder / "twice.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    found = run(folder, "submit", "twice.jsonl", "--out", "twice.out", "--timeout", "60")
    sent, conflict, outcome = found.stderr.splitlines()
    assert (found.returncode, sent, outcome) == (1, "Sent 1 records.", "1 succeeded, 0 did not.")
    assert conflict.startswith("Line 2 has the id of line 1 and asks something else (idempotency_conflict)")
    (result,) = map(orjson.loads, (folder / "twice.out").read_bytes().splitlines())
    assert (result["status"], result["generation"]) == ("succeeded", 1)


def test_ctrl_c_ends_it_and_the_same_command_goes_on(folder: Path, worker: Served) -> None:
    lines = [{"operation": "complete", "prompt": f"Number {n} [fake:sleep:{2 * (n > 0)}]"} for n in range(6)]
    (folder / "slow.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    calls = _calls(folder)
    command = ("submit", "slow.jsonl", "--out", "slow.out")
    began = Served(folder, *command)
    until = time.monotonic() + 60
    while not ((folder / "slow.out").exists() and (folder / "slow.out").read_bytes()) and time.monotonic() < until:
        time.sleep(0.05)
    assert (began.stop(signal.SIGINT), began.log.read_text().splitlines()[-1]) == (
        130,
        "Stopped by Ctrl-C. Run the same command again to go on: nothing is paid twice.",
    )
    assert run(folder, *command).returncode == 0
    written = [orjson.loads(line) for line in (folder / "slow.out").read_bytes().splitlines()]
    assert sorted(result["metadata"]["item"] for result in written) == [f"line {n}" for n in range(1, 7)]
    assert _calls(folder) == calls + 6


def test_a_conflict_of_another_producer_is_not_taken_for_the_answer(folder: Path, worker: Served) -> None:
    """It has the same id; its own record is answered while ours is being run."""
    ours = orjson.dumps({"operation": "summarize", "id": "mine", "content": "One. [fake:sleep:4]"}).decode()
    theirs = orjson.dumps({"operation": "summarize", "id": "mine", "content": "Two."}).decode()
    command = ("submit", "-", "--wait", "--json", "--timeout", "60")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, folder, *command, given=ours)
        until = time.monotonic() + 30
        while _state(folder, "mine") != "calling" and time.monotonic() < until:
            time.sleep(0.1)
        second = here(folder, *command, given=theirs)
    told = [orjson.loads(each.stdout) for each in (first.result(), second)]
    assert [(each["status"], each["generation"]) for each in told] == [("succeeded", 1), ("failed", 0)]
    assert told[1]["error"]["type"] == "idempotency_conflict"


def _state(folder: Path, id_: str) -> str | None:
    found = here(folder, "requests", "show", id_, "--json")
    return orjson.loads(found.stdout).get("state") if found.returncode == 0 else None


def test_a_folder_is_submitted_and_its_files_are_named(folder: Path, worker: Served) -> None:
    (folder / "notes" / "old").mkdir(parents=True)
    for name in ("a.txt", "old/b.md"):
        (folder / "notes" / name).write_text(f"The note {name} is short.")
    found = run(folder, "submit", "notes", "-o", "summarize", "--wait", "--json", "--timeout", "60")
    assert found.returncode == 0, found.stderr
    assert sorted(orjson.loads(line)["metadata"]["item"] for line in found.stdout.splitlines()) == ["a.txt", "old/b.md"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_narrow_terminal_gets_a_bar_and_every_result(folder: Path, worker: Served, encoding: str) -> None:
    line = '{"operation": "complete", "prompt": "naïve €", "id": "naïve €"}\n'
    locale = {"LC_ALL": "C", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    shown, code = on_a_terminal(folder, "submit", "-", "--wait", "--timeout", "60", columns=40, given=line, **locale)
    word = "naïve €" if encoding == "utf-8" else "na\\u00efve \\u20ac"
    assert (code, word in shown, "1/1" in shown, "Traceback" in shown) == (0, True, True, False)


def test_a_cancel_goes_into_the_control_topic_where_nothing_else_is_there(
    folder: Path, worker: Served, tmp_path: Path
) -> None:
    bootstrap = control.bootstrap(make_settings(data_dir=folder, kafka_brokers=""))
    found = run(tmp_path, "cancel", "later", "-o", "rewrite", GENAI_KAFKA_BROKERS=bootstrap, GENAI_API_PORT="1")
    assert (found.returncode, found.stdout) == (
        0,
        "rewrite later: the cancel is in genai.control; a worker applies it\n",
    )
    last = asyncio.run(reading.whole(bootstrap, "genai.control"))[-1]
    said = {"action": "cancel", "tenant": "default", "operation": "rewrite", "id": "later"}
    assert (last.key, orjson.loads(last.value or b"")) == (b"later", said)


def test_whoever_stops_reading_ends_it_quietly(folder: Path, worker: Served) -> None:
    given = "\n".join(f'{{"operation": "embed", "content": "pipe {n}"}}' for n in range(20))
    command = f"printf '%s' \"$GIVEN\" | {commands.SCRIPT} submit - --wait --json --timeout 60 | head -n 1"
    found = subprocess.run(
        ["bash", "-c", command],
        env={**commands.environment(folder), "GIVEN": given},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (len(found.stdout.splitlines()), "Traceback" in found.stderr, "Broken" in found.stderr) == (1, False, False)


def test_the_worker_shows_lag_and_age_by_lane(worker: Served, results: dict[str, dict[str, object]]) -> None:
    import urllib.request

    url = worker.said("metrics and state")["url"]
    wanted = {'genai_lag_records{lane="normal"} 0.0', 'genai_oldest_waiting_seconds{lane="normal"} 0.0'}
    until, text = time.monotonic() + 30, ""
    while not wanted <= set(text.splitlines()):  # whoever stopped reading has left requests that still wait
        assert time.monotonic() < until, text
        text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    state, told = ask(f"{url}/ready")
    assert (state, set(told["parts"])) == (200, {"database", "provider", "broker", "intake", "retention"})


def test_sigterm_drains_the_worker_publishes_and_ends_with_zero(folder: Path, worker: Served) -> None:
    slow = '{"operation": "summarize", "id": "slow", "content": "x [fake:sleep:3]"}'
    assert run(folder, "submit", "-", given=slow).returncode == 0
    until = time.monotonic() + 60
    while '"slow"' not in run(folder, "requests", "list", "--state", "calling", "--json").stdout:
        assert time.monotonic() < until
    assert worker.stop(signal.SIGTERM) == 0
    shown = map(orjson.loads, run(folder, "results", "-n", "100", "--json").stdout.splitlines())
    assert [result["status"] for result in shown if result["id"] == "slow"] == ["succeeded"]


def becomes(url: str, state: int, within_s: float = 90) -> None:
    until = time.monotonic() + within_s
    while ask(f"{url}/ready")[0] != state:
        assert time.monotonic() < until, ask(f"{url}/ready")
        time.sleep(0.2)


def test_an_idle_worker_notices_that_its_broker_has_gone_and_comes_back(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path, kafka_port=0, kafka_brokers="")
    control.start(settings)
    try:
        with served(tmp_path, "worker") as one:
            url = one.said("metrics and state")["url"]
            becomes(url, 200)  # `ready` is said while the group still settles
            control.stop(settings, timeout_s=5)
            becomes(url, 503)
            broker = ask(f"{url}/ready")[1]["parts"]["broker"]
            assert (broker["ok"], "nobody answers" in broker["why"], bool(broker["since"])) == (False, True, True)
            control.start(settings)
            becomes(url, 200)
            line = '{"operation": "embed", "content": "One."}'
            assert run(tmp_path, "submit", "-", "--wait", "--timeout", "60", given=line).returncode == 0
            assert one.stop() == 0
    finally:
        control.stop(settings, timeout_s=5)
