"""Kafka's own tools, as the commands run them."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from streams.broker import console
from tests.parts.kafka import make_settings


def tool(bootstrap: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """As `genai-spine kafka …` does it: the process becomes the tool."""
    imports = "import sys; from streams import settings; from streams.broker import console;"
    code = f"{imports} console.become(settings.load(), sys.argv[1], sys.argv[2:])"
    env = os.environ | {"GENAI_KAFKA_BROKERS": bootstrap}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.kafka
def test_a_record_with_key_and_headers_goes_through_a_pipe(kafka_bootstrap: str, unique: Callable[[str], str]) -> None:
    """What `dlq` redriving by hand stands on: one tool's output is the other's input."""
    topic = unique("tools")
    assert tool(kafka_bootstrap, "topics", "--create", "--topic", topic, "--partitions", "1").returncode == 0
    record = 'genai-id:a,genai-tenant:b\tkey-1\t{"input": {"content": "ünï"}}\n'
    fields = [f"--{{}}-property={name}=true" for name in ("parse.key", "parse.headers")]
    sent = tool(
        kafka_bootstrap,
        "kafka-console-producer.sh",
        "--topic",
        topic,
        *[f.format("reader") for f in fields],
        stdin=record,
    )
    assert sent.returncode == 0, sent.stderr
    shown = [f"--formatter-property=print.{name}=true" for name in ("key", "headers")]
    read = tool(
        kafka_bootstrap, "console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "1", *shown
    )
    assert (read.stdout, read.returncode) == (record, 0)


@pytest.mark.kafka
def test_the_tools_exit_code_is_passed_on(kafka_bootstrap: str) -> None:
    assert tool(kafka_bootstrap, "topics", "--describe", "--topic", "no-such-topic").returncode == 1


@pytest.mark.fast
@pytest.mark.parametrize("name", ["topics", "kafka-topics", "kafka-topics.sh", "topics.sh"])
def test_a_tool_is_known_by_its_usual_names(name: str) -> None:
    assert console.find(name) is console.TOOLS["topics"]


@pytest.mark.fast
def test_an_unknown_tool_names_the_known_ones() -> None:
    with pytest.raises(console.UnknownTool, match=r"no Kafka tool 'kcat'.*console-consumer.*topics"):
        console.find("kcat")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "given", "passed"),
    [
        ("topics", ["--list"], ["--bootstrap-server", "b:1", "--list"]),
        ("topics", ["--bootstrap-server", "x:1", "--list"], ["--bootstrap-server", "x:1", "--list"]),
        ("topics", ["--bootstrap-server=x:1"], ["--bootstrap-server=x:1"]),
        ("topics", ["--help"], ["--help"]),
        ("cluster", ["cluster-id"], ["cluster-id", "--bootstrap-server", "b:1"]),  # its verb comes first
        ("transactions", ["list"], ["--bootstrap-server", "b:1", "list"]),  # the others' last
        ("dump-log", ["--files", "x"], ["--files", "x"]),  # reads files, knows no broker
    ],
)
def test_the_address_is_added_where_the_tool_takes_one(name: str, given: list[str], passed: list[str]) -> None:
    assert console.with_address(console.find(name), given, "b:1") == passed


@pytest.mark.fast
def test_help_needs_no_broker() -> None:
    line = console.command(make_settings(kafka_brokers="", data_dir="/nonexistent"), "topics", ["--help"])
    assert line[-2:] == ["org.apache.kafka.tools.TopicCommand", "--help"]
