"""Which addresses may be connected to: laws for all of them, and a table of what people try."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.outbound import Guard, listed

pytestmark = pytest.mark.fast

OPERATOR, STRANGER = Guard("operator"), Guard("stranger")
V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)
LINK_LOCAL = st.one_of(
    st.ip_addresses(network="169.254.0.0/16"),
    st.ip_addresses(network="fe80::/10"),
    st.sampled_from([ip_address("100.100.100.200"), ip_address("fd00:ec2::254"), ip_address("168.63.129.16")]),
)
PRIVATE = [
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "0.0.0.0/8", "198.18.0.0/15", "240.0.0.0/4",
    "224.0.0.0/4", "::1/128", "::/128", "fc00::/7", "fec0::/10", "ff00::/8", "2001:db8::/32", "64:ff9b:1::/48", "100::/64",
]  # fmt: skip


def _wrapped(inner: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses that carry an IPv4 one: mapped, compatible, 6to4, NAT64, Teredo's client."""
    number = int(inner)
    return [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(number),
        IPv6Address(0x2002 << 112 | number << 80),
        IPv6Address(0x0064FF9B << 96 | number),
        IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | (number ^ 0xFFFFFFFF)),
    ]


@given(LINK_LOCAL)
def test_nobody_reaches_a_link_local_address(address: IPv4Address | IPv6Address) -> None:
    assert OPERATOR.refusal("gpu-1", str(address))
    assert STRANGER.refusal("images.example.org", str(address))


@given(st.one_of(*(st.ip_addresses(network=each) for each in PRIVATE)))
def test_a_stranger_reaches_no_private_or_special_address(address: IPv4Address | IPv6Address) -> None:
    assert STRANGER.refusal("images.example.org", str(address))


@given(st.one_of(V4, V6))
def test_a_stranger_reaches_no_more_than_the_operator(address: IPv4Address | IPv6Address) -> None:
    if STRANGER.refusal("host", str(address)) is None:
        assert OPERATOR.refusal("host", str(address)) is None


@given(V4)
def test_an_address_inside_another_is_judged_as_itself(address: IPv4Address) -> None:
    """Below `::2` an IPv6 address is its own: nowhere, and loopback."""
    for guard in (OPERATOR, STRANGER):
        refused = guard.refusal("host", str(address)) is not None
        for outer in _wrapped(address):
            if refused and int(outer) > 1:
                assert guard.refusal("host", str(outer)), outer


@given(st.one_of(V4, V6))
def test_what_is_listed_is_reached_and_nothing_else_by_it(address: IPv4Address | IPv6Address) -> None:
    width = 32 if address.version == 4 else 128
    near = ip_network(f"{address}/{width - 8}", strict=False)
    guard = Guard("stranger", listed([str(near)]))
    assert guard.refusal("host", str(address)) is None
    other = near.network_address + 2**8 if int(near.network_address) + 2**8 < 2**width else near.network_address - 1
    assert (guard.refusal("host", str(other)) is None) == (STRANGER.refusal("host", str(other)) is None)


@given(st.one_of(st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="169.254.0.0/16")))
def test_a_listed_name_may_be_anywhere(address: IPv4Address) -> None:
    guard = Guard("stranger", listed(["images.example.org", ".corp.example"]))
    for host in ("images.example.org", "IMAGES.example.org.", "a.b.corp.example"):
        assert guard.refusal(host, str(address)) is None
    for host in ("evil-images.example.org", "images.example.org.evil.test", "corp.example", "xcorp.example"):
        assert guard.refusal(host, str(address))


@given(st.text(max_size=40))
def test_what_is_no_address_is_refused(words: str) -> None:
    try:
        ip_address(words.partition("%")[0])
    except ValueError:
        assert OPERATOR.refusal("host", words)


@pytest.mark.parametrize(
    ("address", "operator", "stranger"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("127.0.0.1", True, False),  # where Ollama runs
        ("::1", True, False),
        ("0.0.0.0", True, False),  # OLLAMA_HOST is often copied
        ("::", True, False),
        ("10.1.2.3", True, False),
        ("fd12::1", True, False),
        ("100.64.0.7", True, False),  # Tailscale
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("::ffff:a9fe:a9fe", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::", False, False),
        ("fe80::1%eth0", False, False),
        ("::ffff:127.0.0.1", True, False),
        ("::ffff:8.8.8.8", True, True),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
    ],
)
def test_who_reaches_what(address: str, operator: bool, stranger: bool) -> None:
    assert (OPERATOR.refusal("host", address) is None, STRANGER.refusal("host", address) is None) == (
        operator,
        stranger,
    )


@pytest.mark.parametrize(
    "word", ["10.1.0.0/33", "10.1.2.3/8", "256.1.1.1", "https://a.example", "a b", "*", "a..b", ""]
)
def test_what_is_neither_a_network_nor_a_host_is_refused_by_name(word: str) -> None:
    with pytest.raises(ValueError, match="neither a network nor a host"):
        listed([word])
