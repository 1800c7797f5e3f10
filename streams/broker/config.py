"""server.properties and the Java command line, as pure functions of ports, sizes and places."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # half the warm-up; throughput is the model's anyway
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
)
_MIB = 1024 * 1024


class Ports(NamedTuple):
    """Where clients come in, and where the broker talks to its own controller."""

    broker: int
    controller: int

    @property
    def bootstrap(self) -> str:
        """The address that clients are given."""
        return f"{HOST}:{self.broker}"


def server_properties(ports: Ports, log_dir: Path, max_bytes: int) -> str:
    """One node in both roles. The voter is named here and not at format, so that its port may change between starts.

    Small index files and 32 MiB for the log cleaner, because the defaults (10 MiB a partition, 128 MiB) are a
    server's; `max_bytes` is the largest record of any topic.
    """
    table: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
        "listeners": f"PLAINTEXT://{ports.bootstrap},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": f"PLAINTEXT://{ports.bootstrap}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.segment.bytes": 16 * _MIB,
        "offsets.retention.minutes": 30 * 24 * 60,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # after kill -9 the new broker is refused while the old one's session lasts: 9 s by default
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "message.max.bytes": max_bytes,
        "replica.fetch.max.bytes": max_bytes,
        "socket.request.max.bytes": max(100 * _MIB, 2 * max_bytes),
        "log.segment.bytes": 128 * _MIB,
        "log.index.size.max.bytes": _MIB,
        "log.cleaner.dedupe.buffer.size": 32 * _MIB,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
    }
    return "".join(f"{key}={escaped(str(value))}\n" for key, value in table.items())


def escaped(value: str) -> str:
    """Java's properties files are Latin-1 with backslash escapes; a data directory may hold anything."""
    escaped = value.replace("\\", "\\\\")
    if escaped[:1] == " ":
        escaped = "\\" + escaped
    return "".join(char if " " <= char <= "~" else _utf16(char) for char in escaped)


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def ports_of(properties: str) -> Ports | None:
    """The ports that a server.properties names; None when it is not one of ours."""
    listeners = next((line for line in properties.splitlines() if line.startswith("listeners=")), "")
    ports = [part.rpartition(":")[2] for part in listeners.split(",")]
    return Ports(*map(int, ports)) if len(ports) == 2 and all(port.isdigit() for port in ports) else None


def java_command(
    java: Path, jars: Path, log_config: Path, log_file: Path, main_class: str, *args: str, options: Sequence[str] = ()
) -> list[str]:
    """A command line for one of Kafka's classes, logging to `log_file`; more `options` of Java's."""
    logging = (f"-Dlog4j2.configurationFile={log_config}", f"-Dgenai.log={log_file}")
    return [str(java), *JAVA_OPTIONS, *options, *logging, "-cp", f"{jars}/*", main_class, *args]
