"""Kafka behind TLS, users and client certificates: everything that speaks to it, on the packaged broker."""

import asyncio
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents import OPERATIONS
from streams import reading, topics, waiting, where
from streams.doctor import examine
from tests.parts.secured import PASSWORD, Secured, secured
from tests.streams.commands import Served, ask, run, served

pytestmark = pytest.mark.kafka
__all__ = ["secured"]

LINES = "\n".join(
    orjson.dumps(line).decode()
    for line in (
        {"operation": "summarize", "id": "s", "input": {"content": "One. Two."}},
        {"operation": "summarize", "id": "dead", "input": {"content": "x [fake:refused*1]"}},
    )
)


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("SASL_SSL", {"kafka_sasl_mechanism": "PLAIN"}),
        ("SASL_SSL", {"kafka_sasl_mechanism": "SCRAM-SHA-256"}),
        ("SASL_PLAINTEXT", {"kafka_sasl_mechanism": "SCRAM-SHA-512"}),
        ("SSL", {}),
    ],
)
async def test_each_door_opens_to_the_admin_and_to_readers(
    secured: Secured, tmp_path: Path, protocol: str, changes: dict[str, Any]
) -> None:
    settings = secured.settings(protocol, tmp_path, **changes)
    bootstrap = where.bootstrap(settings)
    await topics.create(bootstrap, settings, OPERATIONS)
    assert list(await reading.ends(bootstrap, topics.RESULTS)) == [0]


@pytest.mark.parametrize(("protocol", "changes"), [("SASL_PLAINTEXT", {"kafka_sasl_mechanism": "PLAIN"}), ("SSL", {})])
def test_kafkas_own_tools_come_in_with_a_password_and_with_a_locked_key(
    secured: Secured, tmp_path: Path, protocol: str, changes: dict[str, Any]
) -> None:
    found = run(tmp_path, "kafka", "topics", "--list", **secured.environment(protocol, **changes))
    assert (found.returncode, found.stderr) == (0, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secured-worker")


@pytest.fixture(scope="module")
def environment(secured: Secured) -> dict[str, str]:
    return secured.environment("SASL_SSL") | {"GENAI_PARTITIONS": "1", "GENAI_LOG_LEVEL": "debug"}


@pytest.fixture(scope="module")
def worker(folder: Path, environment: dict[str, str]) -> Iterator[Served]:
    with served(folder, "worker", **environment) as made:
        made.said("ready")
        yield made


def test_a_record_goes_the_whole_way_over_scram_and_tls(
    folder: Path, environment: dict[str, str], worker: Served
) -> None:
    """Producer, Faust's consumer and tables, relay and reader; then each command that speaks to Kafka."""
    sent = run(folder, "submit", "-", "--wait", "--json", "--timeout", "60", given=LINES, **environment)
    states = {found["id"]: found["status"] for found in map(orjson.loads, sent.stdout.splitlines())}
    assert states == {"s": "succeeded", "dead": "failed"}, sent.stderr
    assert len(run(folder, "results", "--json", **environment).stdout.splitlines()) == 2
    (letter,) = map(orjson.loads, run(folder, "dlq", "list", "--json", **environment).stdout.splitlines())
    assert run(folder, "dlq", "replay", letter["place"], **environment).returncode == 0
    assert orjson.loads(run(folder, "topics", "check", "--json", **environment).stdout)["ok"]
    (state, told) = ask(f"{worker.said('metrics and state')['url']}/ready")
    assert (state, told["parts"]["broker"]["ok"]) == (200, True)


def test_kafkas_console_tools_write_and_read_with_the_same_settings(
    folder: Path, environment: dict[str, str], worker: Served
) -> None:
    record = '{"id": "typed", "input": {"content": "Typed. By hand."}}'
    topic = topics.request_topic("summarize")
    assert run(folder, "kafka", "console-producer", "--topic", topic, given=record, **environment).returncode == 0
    until = time.monotonic() + 30
    answered: list[str] = []
    while not any('"typed"' in line for line in answered) and time.monotonic() < until:
        answered = run(folder, "results", "--json", **environment).stdout.splitlines()
    options = ("--from-beginning", "--max-messages", str(len(answered)), "--timeout-ms", "45000")
    shown = run(folder, "kafka", "console-consumer", "--topic", topics.RESULTS, *options, **environment).stdout
    assert '"typed"' in shown


@pytest.mark.parametrize(
    ("protocol", "changes", "says"),
    [
        ("SASL_SSL", {"kafka_password": "wrong-sesame"}, "does not know ada with this password (SCRAM-SHA-512)"),
        ("SASL_SSL", {"kafka_username": "nobody"}, "does not know nobody with this password"),
        ("SASL_SSL", {"kafka_ca_file": "other.pem"}, "Name the authority that signed it in GENAI_KAFKA_CA_FILE"),
        ("SASL_SSL", {"kafka_ca_file": ""}, "Name the authority that signed it in GENAI_KAFKA_CA_FILE"),
        ("SASL_SSL", {"kafka_brokers": "localhost"}, "by the name that it was made for"),
        ("SSL", {"kafka_cert_file": "", "kafka_key_file": "", "kafka_key_password": ""}, "client certificate"),
        # the settings of one door at another
        ("PLAINTEXT", {"kafka_brokers": "SASL_SSL"}, "GENAI_KAFKA_SECURITY_PROTOCOL"),
        ("PLAINTEXT", {"kafka_brokers": "SASL_PLAINTEXT"}, "GENAI_KAFKA_SECURITY_PROTOCOL"),
        ("SASL_SSL", {"kafka_brokers": "PLAINTEXT"}, "GENAI_KAFKA_SECURITY_PROTOCOL"),
        ("SASL_PLAINTEXT", {"kafka_brokers": "PLAINTEXT"}, "asks for no user"),
    ],
)
async def test_who_is_not_let_in_is_told_why_and_soon(
    secured: Secured, tmp_path: Path, protocol: str, changes: dict[str, Any], says: str
) -> None:
    settings = secured.settings(protocol, tmp_path, **resolved(secured, changes))
    began = time.monotonic()
    (broker,) = [found for found in await examine(settings) if found.part == "broker"]
    assert (broker.level, says in broker.words, PASSWORD in broker.words) == ("bad", True, False), broker.words
    told: list[str] = []
    start = asyncio.create_task(waiting.for_topics(settings, where.bootstrap(settings), told.append))
    while not told and time.monotonic() - began < 20:
        await asyncio.sleep(0.05)
    start.cancel()
    assert told and says in told[0], told


def resolved(secured: Secured, changes: dict[str, Any]) -> dict[str, Any]:
    made = dict(changes)
    if made.get("kafka_ca_file"):
        made["kafka_ca_file"] = secured.of(made["kafka_ca_file"])
    if made.get("kafka_brokers") == "localhost":
        made["kafka_brokers"] = secured.doors["SASL_SSL"].replace("127.0.0.1", "localhost")
    elif "kafka_brokers" in made:
        made["kafka_brokers"] = secured.doors[made["kafka_brokers"]]
    return made


def test_a_worker_with_a_wrong_password_says_so_everywhere_and_ends_when_asked(
    secured: Secured, tmp_path: Path
) -> None:
    environment = secured.environment("SASL_SSL", kafka_password="wrong-sesame") | {"GENAI_LOG_LEVEL": "debug"}
    with served(tmp_path, "worker", **environment) as one:
        logged = one.said("does not know ada with this password")
        state, told = ask(f"{one.said('metrics and state')['url']}/ready")
        assert (state, logged["event"] in told["parts"]["start"]["why"]) == (503, True)
        sent = run(tmp_path, "submit", "-", given=LINES, **environment)
        assert (sent.returncode, "GENAI_KAFKA_PASSWORD" in sent.stderr) == (1, True)
        looked = run(tmp_path, "doctor", "--json", **environment)
        assert "does not know ada" in looked.stdout
        assert one.stop(signal.SIGTERM) == 0
        written = one.log.read_text() + sent.stderr + sent.stdout + looked.stdout + looked.stderr + str(told)
        assert "wrong-sesame" not in written


def test_the_password_stands_in_nothing_that_was_written(secured: Secured, folder: Path, worker: Served) -> None:
    """Logs at debug, the ledger, what commands left: everywhere but in the one file for Kafka's tools."""
    found = {path for path in folder.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()}
    assert {path.name for path in found} <= {"kafka-client.properties"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found)
