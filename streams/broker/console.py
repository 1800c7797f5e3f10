"""Kafka's own command-line tools, on the packaged Java: `genai-spine kafka console-consumer --topic genai.results`.

Names are taken as people know them (`topics`, `kafka-topics`, `kafka-topics.sh`). The tool takes this process's place,
so its input, output, signals and exit code are its own, and it stands in a pipe.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from streams import where
from streams.broker import config, jars, process
from streams.errors import SpineError
from streams.security import Security, java_properties, security_of
from streams.settings import Settings

_HEAP = "-Xmx256m"


class Tool(NamedTuple):
    """Its Java class; `address`: the option for the broker's address, None when it takes none; `verb`: what comes first."""

    main_class: str
    address: str | None = "--bootstrap-server"
    verb: bool = False


TOOLS = {
    "acls": Tool("org.apache.kafka.tools.AclCommand"),
    "broker-api-versions": Tool("org.apache.kafka.tools.BrokerApiVersionsCommand"),
    "client-metrics": Tool("org.apache.kafka.tools.ClientMetricsCommand"),
    "cluster": Tool("org.apache.kafka.tools.ClusterTool", verb=True),
    "configs": Tool("kafka.admin.ConfigCommand"),
    "console-consumer": Tool("org.apache.kafka.tools.consumer.ConsoleConsumer"),
    "console-producer": Tool("org.apache.kafka.tools.ConsoleProducer"),
    "console-share-consumer": Tool("org.apache.kafka.tools.consumer.ConsoleShareConsumer"),
    "consumer-groups": Tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    "consumer-perf-test": Tool("org.apache.kafka.tools.ConsumerPerformance"),
    "delete-records": Tool("org.apache.kafka.tools.DeleteRecordsCommand"),
    "dump-log": Tool("org.apache.kafka.tools.DumpLogSegments", None),
    "features": Tool("org.apache.kafka.tools.FeatureCommand"),
    "get-offsets": Tool("org.apache.kafka.tools.GetOffsetShell"),
    "groups": Tool("org.apache.kafka.tools.GroupsCommand"),
    "leader-election": Tool("org.apache.kafka.tools.LeaderElectionCommand"),
    "log-dirs": Tool("org.apache.kafka.tools.LogDirsCommand"),
    "metadata-quorum": Tool("org.apache.kafka.tools.MetadataQuorumCommand"),
    "producer-perf-test": Tool("org.apache.kafka.tools.ProducerPerformance"),
    "reassign-partitions": Tool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
    "share-groups": Tool("org.apache.kafka.tools.consumer.group.ShareGroupCommand"),
    "storage": Tool("kafka.tools.StorageTool", None),
    "streams-groups": Tool("org.apache.kafka.tools.streams.StreamsGroupCommand"),
    "topics": Tool("org.apache.kafka.tools.TopicCommand"),
    "transactions": Tool("org.apache.kafka.tools.TransactionsCommand"),
    "verifiable-consumer": Tool("org.apache.kafka.tools.VerifiableConsumer"),
    "verifiable-producer": Tool("org.apache.kafka.tools.VerifiableProducer"),
}

_SECURED_BY = ("--command-config", "--producer.config", "--consumer.config", "--admin.config")
_NAMED_BY = ("--bootstrap-server", "--bootstrap-controller", "--broker-list", "--bootstrap-servers", "-b")
_ASKS_NOTHING = ("--help", "-h", "--version")


class UnknownTool(SpineError):
    """Kafka has no such tool here; the message names those that there are."""

    exit_code = 2


def find(name: str) -> Tool:
    """By any of its usual names."""
    short = name.removesuffix(".sh").removeprefix("kafka-")
    if short not in TOOLS:
        raise UnknownTool(f"There is no Kafka tool {name!r}. Choose one of: {', '.join(TOOLS)}.")
    return TOOLS[short]


def with_address(tool: Tool, arguments: Sequence[str], bootstrap: str) -> list[str]:
    """The arguments, with the broker's address unless the tool takes none, was given one, or is asked for its help."""
    given = {argument.partition("=")[0] for argument in arguments}
    if tool.address is None or given.intersection(_NAMED_BY) or given.intersection(_ASKS_NOTHING):
        return list(arguments)
    first = 1 if tool.verb else 0  # `transactions` and others want the address before their verb, `cluster` behind it
    return [*arguments[:first], tool.address, bootstrap, *arguments[first:]]


def with_security(tool: Tool, arguments: Sequence[str], file: str) -> list[str]:
    """The arguments, with the client's properties file unless one was given. All tools of this Kafka know that option."""
    if {argument.partition("=")[0] for argument in arguments}.intersection(_SECURED_BY):
        return list(arguments)
    first = 1 if tool.verb else 0
    return [*arguments[:first], "--command-config", file, *arguments[first:]]


def command(settings: Settings, name: str, arguments: Sequence[str]) -> list[str]:
    """The Java command line; asks for the broker's address only when the tool needs it.

    Our user and password go along with our own address only, and in a file: a command line is for everyone to read.
    """
    tool = find(name)
    needs_address = with_address(tool, arguments, "") != list(arguments)
    address = where.bootstrap(settings) if needs_address else ""
    completed = with_address(tool, arguments, address)
    if needs_address and security_of(address).protocol != "PLAINTEXT":
        completed = with_security(tool, completed, str(_properties(settings, security_of(address))))
    jar_folder = jars.fetch(settings.cache())
    return [
        str(process.java()),
        *config.JAVA_OPTIONS,
        _HEAP,
        f"-Dlog4j2.configurationFile={process.TOOLS_LOG_CONFIG}",
        "-cp",
        f"{jar_folder}/*",
        tool.main_class,
        *completed,
    ]


def _properties(settings: Settings, security: Security) -> Path:
    """Written anew each time, for this user only, whole or not at all."""
    text = java_properties(security)
    file = settings.data() / "kafka-client.properties"
    fresh = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        fresh.replace(file)
    except OSError as error:
        raise SpineError(f"Cannot write {file} ({error.strerror}). Choose another GENAI_DATA_DIR.") from error
    return file


def become(settings: Settings, name: str, arguments: Sequence[str]) -> NoReturn:
    """Turn this process into the tool."""
    line = command(settings, name, arguments)
    os.execve(line[0], line, process.environment())  # noqa: S606 (no shell is wanted)
