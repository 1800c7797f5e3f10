"""Addresses as people write them into one setting: pure, and light, since every command reads the settings."""

import ipaddress
import re

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]")
MOST_PORT = 65_535
_REDIS = re.compile(
    r"rediss?://(?:[^\s/@]*@)?(?P<host>[^\s/@:]+|\[[^\s/@]+\])(?::(?P<port>[0-9]{1,5}))?(?:/[0-9]{0,4})?"
)


def brokers(told: str) -> str:
    """`host:port`, several with commas between, without blanks. Raises ValueError that names the wrong one."""
    found = [part.strip() for part in told.split(",") if part.strip()]
    if told.strip() and not found:
        raise ValueError(f"{told[:100]!r} names no broker; write host:port, several separated by commas")
    for each in found:
        if (why := _wrong(each)) is not None:
            raise ValueError(
                f"{each[:100]!r} {why}; write host:port, such as kafka-1:9092, several separated by commas"
            )
    return ",".join(found)


def _wrong(address: str) -> str | None:
    if "://" in address:
        return "is a URL; what Kafka needs to know beside the address are settings of their own (GENAI_KAFKA_…)"
    host, colon, port = address.rpartition(":")
    if not colon or (address.startswith("[") and not host.endswith("]")):
        return "has no port"
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= MOST_PORT):
        return f"has no port from 1 to {MOST_PORT}"
    return None if _HOST.fullmatch(host) else "names no host"


def redis(told: str) -> str:
    """An address of Redis. Raises ValueError, which does not repeat it: a password may stand in it."""
    found = _REDIS.fullmatch(told.strip())
    if found is None or int(found["port"] or 1) not in range(1, MOST_PORT + 1) or not _HOST.fullmatch(found["host"]):
        raise ValueError("it is no address of Redis; write redis://host:6379/0, or rediss:// for TLS")
    return told.strip()


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
