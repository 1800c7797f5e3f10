"""Asks an address for its metadata over Kafka's own protocol: an open port alone says nothing.

Written by hand over a plain socket, because it is asked from threads, under locks and inside running event loops, and
because the cluster id in the answer tells our broker from another one that took the port.
"""

import socket
import struct

_METADATA, _VERSION, _CORRELATION = 3, 4, 1
_CLIENT = b"genai-spine"


def cluster_id(host: str, port: int, timeout_s: float = 2.0) -> str | None:
    """The id of the cluster that answers there; None when nobody does, or what answers is not Kafka."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(_request())
            (size,) = struct.unpack(">i", _read(connection, 4))
            return _parse(_read(connection, size)) if 0 < size < 1_000_000 else None
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def reachable(address: str, timeout_s: float = 2.0) -> bool:
    """Whether `host:port` accepts a connection: all that can be asked of a broker behind SASL or TLS."""
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
            return True
    except (OSError, ValueError):
        return False


def _request() -> bytes:
    """Metadata for no topic: brokers and cluster id only."""
    header = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT
    body = header + struct.pack(">i?", 0, False)
    return struct.pack(">i", len(body)) + body


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        if not (chunk := connection.recv(count - len(data))):
            raise ConnectionError("closed in the middle of an answer")
        data += chunk
    return data


def _parse(answer: bytes) -> str | None:
    """Correlation id, throttle time, brokers (id, host, port, rack), then the cluster id."""
    correlation, _throttle, brokers = struct.unpack_from(">iii", answer)
    if correlation != _CORRELATION or brokers < 1:
        return None
    at = 12
    for _ in range(brokers):
        at += 4
        _host, at = _string(answer, at)
        at += 4
        _rack, at = _string(answer, at)
    return _string(answer, at)[0]


def _string(answer: bytes, at: int) -> tuple[str | None, int]:
    (length,) = struct.unpack_from(">h", answer, at)
    end = at + 2 + max(length, 0)
    return (None if length < 0 else answer[at + 2 : end].decode()), end
