"""One request to a running HTTP door, from the command line."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

from streams import upfile
from streams.errors import SpineError
from streams.settings import Settings

_CONNECT_S = 5.0
_AGAIN_S = 0.5
_ORDER_S = 30.0
_ABOUT_IT = frozenset({404, 409, 422})


def ask(
    settings: Settings, operation: str, body: Mapping[str, Any], wait_s: float, url: str | None = None
) -> dict[str, Any]:
    """The terminal result. Raises SpineError: nobody is there, it was refused, or it did not come in time. Blocking."""
    import httpx

    base = url or address(settings)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(wait_s + _CONNECT_S, connect=_CONNECT_S)
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=timeout, trust_env=False) as client:
            until = time.monotonic() + wait_s
            told = _told(client.post(f"/v1/{operation}", params={"wait": f"{wait_s:g}"}, json=body), base)
            return told if told["status"] != "unfinished" else _later(client, base, told["status_url"], until, wait_s)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise SpineError(
            f"Nobody answers at {base} ({str(error) or type(error).__name__}). Start `genai-spine up` or `genai-spine web`, "
            "or name the API with --url."
        ) from error
    except httpx.HTTPError as error:
        raise SpineError(
            f"{base} broke off ({str(error) or type(error).__name__}). The request may go on; with --id, running it again "
            "costs nothing more."
        ) from error


def _later(client: Any, base: str, path: str, until: float, wait_s: float) -> dict[str, Any]:
    """A process that ends sends its callers home before their time; another one has the answer."""
    while time.monotonic() < until:
        time.sleep(_AGAIN_S)
        told = _told(client.get(path), base)
        if told["status"] != "unfinished":
            return told
    raise SpineError(f"No answer within {wait_s:g} s. The request goes on; ask again at {urljoin(base, path)}")


def address(settings: Settings) -> str:
    """Where the API is: the `up` on this data directory knows, else the settings say."""
    running = upfile.find(settings)
    if running is not None:
        return running.api
    host = "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host  # noqa: S104 - asked, not bound
    return f"http://{host}:{settings.api_port}"


def why(result: Mapping[str, Any]) -> str:
    """What a result that did not succeed says, in a line."""
    error = result.get("error")
    return f"{result['status']}: {error['type']}: {error['message']}" if error else f"{result['status']}"


def _told(reply: Any, base: str) -> dict[str, Any]:
    """A result, or where the request stands. A problem that the door tells becomes ours."""
    try:
        told = reply.json()
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("status"), str):
        return told
    if isinstance(told, dict) and "detail" in told:
        raise SpineError(f"{base} refuses: {told['detail']}")
    raise SpineError(f"{base} answered {reply.status_code} and is no GenAI Spine. Name the API with --url.")


Post = Callable[[str, Mapping[str, str]], dict[str, Any]]
"""Path and query; the answer, or the problem that is about this very thing (404, 409, 422)."""


@contextlib.contextmanager
def opened(settings: Settings, url: str | None = None) -> Iterator[Post]:
    """Orders to a running door. Raises SpineError: nobody is there, it broke off, or it refuses us. Blocking."""
    import httpx

    base = url or address(settings)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(_ORDER_S, connect=_CONNECT_S)

    def post(path: str, params: Mapping[str, str]) -> dict[str, Any]:
        reply = client.post(path, params=dict(params))
        if reply.status_code in _ABOUT_IT and "json" in reply.headers.get("content-type", ""):
            return dict(reply.json())
        return _told_of_order(reply, base)

    try:
        with httpx.Client(base_url=base, headers=headers, timeout=timeout, trust_env=False) as client:
            yield post
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise Nobody(f"Nobody answers at {base} ({str(error) or type(error).__name__}).") from error
    except httpx.HTTPError as error:
        raise SpineError(
            f"{base} broke off ({str(error) or type(error).__name__}). Doing it again is harmless."
        ) from error


class Nobody(SpineError):
    """No door is open there; start `genai-spine up` or `genai-spine web`, or name the API with --url."""


def _told_of_order(reply: Any, base: str) -> dict[str, Any]:
    try:
        told = reply.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise SpineError(f"{base} answered {reply.status_code} and is no GenAI Spine. Name the API with --url.")
    if not reply.is_success:
        raise SpineError(f"{base} refuses: {told.get('detail', reply.status_code)}")
    return told
