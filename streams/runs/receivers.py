"""Which addresses a webhook may have: what can be said of the words alone. What a name leads to is judged when it is connected to."""

from collections.abc import Iterable
from ipaddress import ip_address

import httpx

from providers.outbound import Guard, listed
from schemas.runs import Webhook
from streams.runs import signing


def wrong(webhook: Webhook, allowed: Iterable[str]) -> str | None:
    """A sentence that says what to do about it; None: it may be tried. `allowed`: what the operator has listed."""
    try:
        signing.key_of(webhook.secret)
    except ValueError as error:
        return f"`webhook.secret`: {error}."
    why = refusal(webhook.url, Guard("stranger", listed(allowed)))
    return why and f"`webhook.url` is not called: {why}. An operator may list it in GENAI_OUTBOUND_ALLOW."


def refusal(url: str, guard: Guard) -> str | None:
    """Why it must not be called; None: it may be tried."""
    if any(char.isspace() or not char.isprintable() for char in url):
        return "it holds a space or a control character; write a space as %20"
    try:
        told = httpx.URL(url)
        port = told.port
    except (httpx.InvalidURL, ValueError):
        return "it is no URL"
    return _of_words(told, port) or _of_host(told.host, guard)


def _of_words(told: httpx.URL, port: int | None) -> str | None:
    if told.scheme not in {"http", "https"} or not told.host:
        return "it must begin with https:// or http:// and name a host"
    if told.userinfo:
        return "it holds a user or a password; the signature says who calls"
    return None if port is None or 0 < port < 65_536 else f"there is no port {port}"


def _of_host(host: str, guard: Guard) -> str | None:
    if guard.listed.has_host(host):
        return None
    if host == "localhost" or host.endswith(".localhost"):
        return "it leads to this machine itself"
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return _spelt(host)
    return guard.refusal(host, host.strip("[]"))


def _spelt(host: str) -> str | None:
    """`2130706433`, `0x7f.1` and `127.1` are addresses to old resolvers; no name ends in a number."""
    last = host.rstrip(".").rpartition(".")[2]
    return "its host is an address in a strange spelling" if last.isdigit() or last.lower().startswith("0x") else None
