"""Which ports the broker listens on: the one it had, else the one that is wished for, else any that is free."""

import socket
from typing import NamedTuple

from streams.broker.config import HOST, Ports
from streams.broker.process import State


class Choice(NamedTuple):
    """`notice` is a sentence for the user when the port is not the one that the setting asks for."""

    ports: Ports
    notice: str | None = None


def choose(last: State | None, wished: int) -> Choice:
    """The last port stays while the wish is the same one, so that consumers' addresses stay; `wished` 0 means any."""
    remembered = last.ports if last and last.wished == wished else None
    controller = remembered.controller if remembered and is_free(remembered.controller) else _any_free()
    tried = [port for port in (remembered.broker if remembered else 0, wished) if port]
    for port in tried:
        if port != controller and is_free(port):
            return Choice(Ports(port, controller))
    broker = _any_free(but=controller)
    if not tried:
        return Choice(Ports(broker, controller))
    taken = " and ".join(str(port) for port in dict.fromkeys(tried))
    return Choice(
        Ports(broker, controller),
        f"Port {taken} is taken by another program; the broker listens on {HOST}:{broker} instead. "
        "Free it, or set GENAI_KAFKA_PORT, and start again to change that.",
    )


def both_free(ports: Ports) -> bool:
    """Whether a broker that ended can't have ended for its ports."""
    return is_free(ports.broker) and is_free(ports.controller)


def is_free(port: int) -> bool:
    """Whether Kafka could bind it now; as Java does, over connections that linger in TIME_WAIT."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _any_free(but: int = 0) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port != but:
            return port
