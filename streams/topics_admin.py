"""What is asked of a cluster about its topics, over aiokafka's admin client.

The client speaks the older, whole-topic form of AlterConfigs, which resets whatever it is not given: so an operator's
own overrides are read first and sent along.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidPartitionsError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from streams import security
from streams.errors import SpineError

_OVERRIDE = 1  # config_source of a setting that was made on the topic itself
_SEEN_AFTER_S = 15.0


class Unreachable(SpineError):
    """No broker answers; start one with `genai-spine broker start`, or mend GENAI_KAFKA_BROKERS."""


class Refused(SpineError):
    """The cluster would not do it, and said why."""


@dataclass(frozen=True)
class Existing:
    """A topic as it is. `config`: every setting in force; `overrides`: those made on the topic itself."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `--json`: without the settings that the topic merely inherits."""
        return {"partitions": self.partitions, "replication": self.replication, "config": dict(self.overrides)}


@asynccontextmanager
async def connected(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed in every case; the cluster's refusals come out as sentences.

    Raises Unreachable, NotLetIn, Refused.
    """
    client = AIOKafkaAdminClient(**security.client(bootstrap), client_id="genai-spine")
    try:
        await client.start()
        yield client
    except KafkaConnectionError as error:
        if (refusal := await security.refusal(bootstrap)) is not None:
            raise refusal from error
        raise Unreachable(
            f"No Kafka broker answers at {bootstrap}. Start the embedded one with `genai-spine broker start`, "
            "or mend GENAI_KAFKA_BROKERS."
        ) from error
    except KafkaError as error:
        raise Refused(f"Kafka at {bootstrap} refused: {error}. See the broker's log, then run it again.") from error
    finally:
        await client.close()


async def describe(client: AIOKafkaAdminClient) -> dict[str, Existing]:
    """Every topic that is not Kafka's own, with its settings."""
    topics = {t["topic"]: t for t in await client.describe_topics() if not t["is_internal"] and not t["error_code"]}
    configs = await _configs(client, topics)
    return {
        name: Existing(
            partitions=len(topic["partitions"]),
            replication=min((len(part["replicas"]) for part in topic["partitions"]), default=0),
            config={key: value for key, (value, _) in configs.get(name, {}).items()},
            overrides={key: value for key, (value, source) in configs.get(name, {}).items() if source == _OVERRIDE},
        )
        for name, topic in topics.items()
    }


async def _configs(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, tuple[str, int]]]:
    """By topic: setting → (value, where it comes from)."""
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not wanted:
        return {}
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for response in await client.describe_configs(wanted):
        for code, _message, _kind, name, entries in response.resources:
            if code == 0:
                found[name] = {entry[0]: (entry[1], entry[3]) for entry in entries}
    return found


async def create(client: AIOKafkaAdminClient, topics: Iterable[tuple[str, int, int, Mapping[str, str]]]) -> None:
    """Make (name, partitions, replication, settings); one that somebody else has just made is left as it is."""
    new = [NewTopic(name, parts, copies, topic_configs=dict(config)) for name, parts, copies, config in topics]
    if not new:
        return
    response = await client.create_topics(new)
    for name, code, *message in response.topic_errors:
        _raise(name, code, message[0] if message else None, unless=TopicAlreadyExistsError)


async def grow(client: AIOKafkaAdminClient, name: str, partitions: int) -> None:
    """To so many partitions in all; nothing when somebody else has just done it."""
    try:
        await client.create_partitions({name: NewPartitions(partitions)})
    except InvalidPartitionsError:
        if (await describe(client))[name].partitions < partitions:
            raise


async def configure(client: AIOKafkaAdminClient, name: str, changes: Mapping[str, str]) -> None:
    """Set these, keep every other override of the topic."""
    has = (await describe(client))[name]
    resource = ConfigResource(ConfigResourceType.TOPIC, name, {**has.overrides, **changes})
    for response in await client.alter_configs([resource]):
        for code, message, _kind, _name in response.resources:
            _raise(name, code, message)
    await until(client, lambda found: name in found and found[name].config.items() >= changes.items())


async def until(client: AIOKafkaAdminClient, seen: Callable[[Mapping[str, Existing]], bool]) -> None:
    """Wait until the cluster shows what was done: the controller knows it before every broker does.

    Without it a reader who comes next sees the old settings, and would write them back over the new ones.
    """
    deadline = time.monotonic() + _SEEN_AFTER_S
    while not seen(await describe(client)):
        if time.monotonic() > deadline:
            raise Refused(
                f"Kafka took the change, but does not show it after {_SEEN_AFTER_S:.0f} s. "
                "See whether another program changes the topics too, then run it again."
            )
        await asyncio.sleep(0.05)


def _raise(name: str, code: int, message: str | None, unless: type[KafkaError] | None = None) -> None:
    if code == 0:
        return
    error = for_code(code)
    if unless is None or not issubclass(error, unless):
        raise Refused(f"Kafka refused to set up {name}: {message or error.__name__}. Mend that, then run it again.")
