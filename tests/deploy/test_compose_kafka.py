"""The compose files' broker, by the words of the very Kafka: its settings exist, and fit together."""

import re
import subprocess
from pathlib import Path

import pytest

from streams.broker import config, jars, process
from tests.deploy.files import COMPOSE, compose
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.kafka

ENVIRONMENT = compose(COMPOSE)["services"]["kafka"]["environment"]
_OF_THE_IMAGE = {"KAFKA_HEAP_OPTS"}


def properties() -> dict[str, str]:
    """As the image's start script makes them of its environment."""
    named = {
        name: value for name, value in ENVIRONMENT.items() if name.startswith("KAFKA_") and name not in _OF_THE_IMAGE
    }
    return {name.removeprefix("KAFKA_").lower().replace("_", "."): str(value) for name, value in named.items()}


def java(main: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    folder = jars.fetch(make_settings().cache())
    line = [process.java(), *config.JAVA_OPTIONS, f"-Dlog4j2.configurationFile={process.TOOLS_LOG_CONFIG}"]
    return subprocess.run(
        [*line, "-cp", f"{folder}/*", main, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_setting_is_one_of_kafkas() -> None:
    known = set(re.findall(r'<a id="([a-z.]+)">', java("kafka.server.KafkaConfig").stdout))
    assert "controller.listener.names" in known
    assert set(properties()) - known == set()


def test_kafka_accepts_them_together_and_the_cluster_id(tmp_path: Path) -> None:
    file, logs = tmp_path / "server.properties", tmp_path / "logs"
    given = properties() | {"log.dirs": str(logs)}
    file.write_text("".join(f"{name}={value}\n" for name, value in given.items()), encoding="utf-8")
    made = java("kafka.tools.StorageTool", "format", "-t", ENVIRONMENT["CLUSTER_ID"], "-c", file)
    assert (made.returncode, (logs / "meta.properties").exists()) == (0, True), made.stdout + made.stderr
