"""Our request's id on a call: for the double, which counts calls by request, and for servers that the operator names.

No other server is told anything of ours beside what its own format has. Loopback counts as the operator's own.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from providers.outbound import NOTHING, Listed

HEADER = "x-genai-request"


class Tags:
    """Which servers see the header. `listed`: hosts beside those of this machine; `everywhere`: whatever is called is ours."""

    def __init__(self, listed: Listed = NOTHING, *, everywhere: bool = False) -> None:
        self._listed, self._everywhere = listed, everywhere
        self._sees = lru_cache(64)(self._is_ours)

    def headers(self, base: str, tag: str) -> dict[str, str]:
        """For a call to the server at `base`; none where there is no tag, or the server is somebody else's."""
        return {HEADER: _header_safe(tag)} if tag and self._sees(base) else {}

    def _is_ours(self, base: str) -> bool:
        try:
            host = urlsplit(base).hostname or ""
        except ValueError:
            return False
        return self._everywhere or _is_loopback(host) or self._listed.has_host(host)


def _header_safe(tag: str) -> str:
    """A request's id may hold any Unicode; a header may not."""
    return tag.encode("ascii", "backslashreplace").decode().strip()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


HERE = Tags()
EVERYWHERE = Tags(everywhere=True)
