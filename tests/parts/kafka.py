"""A broker for the tests: one that the environment names, else a container, else the embedded one. All give an address."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.broker import control
from streams.settings import Settings
from tests.parts import shared

IMAGE = "confluentinc/cp-kafka:7.9.0"  # Kafka 3.9, the oldest that is supported
_BROKER = {
    "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "MESSAGE_MAX_BYTES": str(16 * 1024 * 1024),
    "AUTO_CREATE_TOPICS_ENABLE": "false",
}


def make_settings(**changes: object) -> Settings:
    """Settings that no environment and no `.env` of the developer reaches into, for the values given."""
    return Settings(_env_file=None, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """`host:port` of a broker that all tests share: use topics and groups of your own (see `unique`)."""
    if named := os.environ.get("GENAI_TEST_KAFKA"):
        return named
    return shared.address("kafka", _container if shared.docker_answers() else _embedded)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name that no other test has: `unique("topic")`."""
    return lambda name: f"{name}-{uuid.uuid4().hex[:8]}"


def _home() -> Path:
    return shared.folder() / "kafka"


def _embedded() -> str:
    return control.bootstrap(make_settings(data_dir=_home(), kafka_port=0, kafka_brokers=""), start_it=True)


def _container() -> str:
    from testcontainers.community.kafka import KafkaContainer
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    container = KafkaContainer(IMAGE).with_kraft()
    for name, value in _BROKER.items():
        container.with_env(f"KAFKA_{name}", value)
    container.start()
    shared.keep_container("kafka", container.get_wrapped_container().id)
    return container.get_bootstrap_server()


def stop() -> None:
    if _home().exists():
        control.stop(make_settings(data_dir=_home(), kafka_brokers=""), timeout_s=5)


@pytest.fixture(scope="session")
def spine_bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a broker for the `genai.` topics, whose names are fixed: each worker of pytest-xdist has its own.

    One that the environment or Docker gives is shared, so that such a run wants `-n 0`.
    """
    if os.environ.get("GENAI_TEST_KAFKA") or shared.docker_answers():
        yield request.getfixturevalue("kafka_bootstrap")
        return
    settings = make_settings(data_dir=tmp_path_factory.mktemp("spine-kafka"), kafka_port=0, kafka_brokers="")
    yield control.bootstrap(settings, start_it=True)
    control.stop(settings, timeout_s=5)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[str]:
    """An embedded broker that this test has for itself, for what can't be shared: the `genai.` topics, an outage."""
    settings = make_settings(data_dir=tmp_path / "own", kafka_port=0, kafka_brokers="")
    yield control.bootstrap(settings, start_it=True)
    control.stop(settings, timeout_s=5)
