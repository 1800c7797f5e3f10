"""GENAI_KAFKA_BROKERS as people write it: taken as it is meant, or refused before anything waits for it."""

from pathlib import Path

import pytest

from streams.addresses import brokers
from tests.streams.commands import run

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("", ""),
        ("kafka:9092", "kafka:9092"),
        (" a.example.org:1 , b-2:65535,", "a.example.org:1,b-2:65535"),
        ("127.0.0.1:9092,[::1]:9092", "127.0.0.1:9092,[::1]:9092"),
        ("[fe80::1%eth0]:9092", "[fe80::1%eth0]:9092"),
        ("kafka_1:9092", "kafka_1:9092"),  # a service of compose
    ],
)
def test_what_is_taken(told: str, meant: str) -> None:
    assert brokers(told) == meant


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("foo", "'foo' has no port"),
        ("foo:bar", "'foo:bar' has no port from 1 to 65535"),
        ("a:1,b", "'b' has no port"),
        ("a:0", "no port from 1"),
        ("a:65536", "no port from 1"),
        ("a:" + "9" * 5000, "no port from 1"),
        ("a:٣", "no port from 1"),
        (":9092", "names no host"),
        ("a b:1", "names no host"),
        ("a\n:1", "names no host"),
        ("::1:9092", "names no host"),
        ("[::1]", "has no port"),
        ("kafka://a:1", "is a URL"),
        ("a:1;b:2", "names no host"),
        (",", "names no broker"),
    ],
)
def test_what_is_refused(told: str, why: str) -> None:
    with pytest.raises(ValueError, match="write host:port") as caught:
        brokers(told)
    assert why in str(caught.value)


def test_a_command_says_so_at_once(tmp_path: Path) -> None:
    found = run(tmp_path, "doctor", GENAI_KAFKA_BROKERS="foo:bar")
    said = " ".join(found.stderr.split())
    assert (found.returncode, "GENAI_KAFKA_BROKERS" in said, "'foo:bar' has no port" in said) == (1, True, True)
