"""Where we may connect to: a pure decision about addresses, whatever names and spellings led to them.

Two kinds of addresses come to us. A provider's base URL is the operator's own word: loopback and private networks are where
models run, so naming one there lists it; link-local addresses, behind which clouds keep their credentials, are refused, and so is
what no server has (multicast, reserved). The URL of an image comes from a stranger: public addresses only. `GENAI_OUTBOUND_ALLOW`
lists networks and names of hosts that either may reach all the same.

The decision is made about the address that is connected to (`providers.http`), not about a name that may mean another one a
moment later. An IPv6 address that carries an IPv4 one inside (mapped, compatible, 6to4, Teredo, NAT64) is judged as both.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Who = Literal["operator", "stranger"]

_METADATA = tuple(
    ip_network(each)
    for each in (
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/64",  # AWS
        "fd20:ce::254/128",  # Google
    )
)
"""Where clouds keep credentials, beside link-local addresses."""

_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_UNICAST = ip_network("2000::/3")
"""What of IPv6 is public at all."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What `GENAI_OUTBOUND_ALLOW` names. A name beginning with a dot stands for every name below it."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def has_name(self, host: str) -> bool:
        name = _plain(host)
        below = (name[at:] for at, char in enumerate(name) if char == ".")
        return name in self.names or any(each in self.names for each in below)

    def has(self, host: str, address: Address) -> bool:
        return self.has_name(host) or any(address in network for network in self.networks)

    def has_host(self, host: str) -> bool:
        """As it stands in a URL, a name or an address."""
        try:
            return self.has(host, ip_address(host.strip("[]")))
        except ValueError:
            return self.has_name(host)


NOTHING = Listed()


@dataclass(frozen=True, slots=True)
class Guard:
    """Who named the hosts, and what is listed all the same."""

    who: Who = "operator"
    listed: Listed = NOTHING

    def refusal(self, host: str, address: str) -> str | None:
        """Why `address`, to which `host` leads, must not be connected to; None: it may be. What cannot be read is refused.

        A stranger is not told which address of ours a name stands for.
        """
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return f"`{address[:60]}` is no address"
        if self.listed.has(host, found):
            return None
        for each in (found, *_inside(found)):
            if (kind := _kind(each, self.who)) is not None and not self.listed.has(host, each):
                return f"{found} is {kind}" if self.who == "operator" else f"it leads to {kind}"
        return None


OPERATOR = Guard()


def listed(words: Iterable[str]) -> Listed:
    """Networks (`10.1.0.0/16`, `127.0.0.1`) and names (`images.example.org`, `.example.org`). Raises ValueError."""
    networks: list[Network] = []
    names: set[str] = set()
    for word in words:
        try:
            networks.append(ip_network(word))
        except ValueError:
            names.add(_name(word))
    return Listed(tuple(networks), frozenset(names))


def _name(word: str) -> str:
    labels = _plain(word).removeprefix(".").split(".")
    if not all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels) or labels[-1].isdigit():
        raise ValueError(
            f"{word!r} is neither a network nor a host; write 10.1.0.0/16, 127.0.0.1, images.example.org or .example.org"
        )
    return _plain(word)


def _plain(host: str) -> str:
    return host.strip().rstrip(".").casefold()


def _inside(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that an IPv6 one carries."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _kind(address: Address, who: Who) -> str | None:
    """What is wrong with it for whoever named it."""
    if address.is_link_local or any(address in network for network in _METADATA):
        return "a link-local address, or one of a cloud's metadata"
    if address.is_multicast:
        return "a multicast address"
    if _carries(address):
        return None
    if who == "operator":
        is_fit = address.is_loopback or address.is_unspecified or not address.is_reserved
        return None if is_fit else "a reserved address"
    is_public = address.is_global and (address.version == 4 or address in _UNICAST)
    return None if is_public else "no public address"


def _carries(address: Address) -> bool:
    """What it carries is judged by itself."""
    return any(True for _ in _inside(address))
