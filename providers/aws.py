"""Requests to AWS are signed here: by a Bedrock API key, or with whatever the usual chain finds, from the environment over
profiles and SSO to the roles of containers, pods and machines.

Of AWS's SDK only the chain and the signature are taken (`botocore`), at the first call: 0.34 s and 27 MB that nobody pays who
does not use it. 0.07 ms a signature. The chain may ask over the network, so it works in a thread.
"""

import asyncio
import time
from typing import Any

from providers.errors import ProviderError, Refused, Unreachable

_NONE = (
    "There are no AWS credentials: neither GENAI_BEDROCK_API_KEY nor anything in AWS's usual places (AWS_ACCESS_KEY_ID, a "
    "profile, the role of a container, pod or machine)."
)
_AGAIN_S = 30.0
"""For so long it is believed that there are none: looking for a machine's role takes seconds where there is none."""


class Signer:
    """For one region. `key`: a Bedrock API key, which needs no signature."""

    def __init__(self, region: str, key: str | None) -> None:
        self._region, self._key = region, key
        self._found: Any = None
        self._refused = ""
        self._looked = 0.0
        self._lock = asyncio.Lock()

    async def headers(
        self, method: str, url: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> dict[str, str]:
        """Those given, and what proves who we are. Raises Refused and Unreachable: nothing was sent to a model then."""
        if self._key is not None:
            return {**headers, "authorization": f"Bearer {self._key}"}
        try:
            async with asyncio.timeout(timeout_s):
                frozen = await self._credentials()
        except TimeoutError:
            raise Unreachable(f"AWS's credentials did not come within {timeout_s:g} s.") from None
        return self._signed(frozen, method, url, body, headers)

    async def _credentials(self) -> Any:
        async with self._lock:
            if self._refused and time.monotonic() - self._looked < _AGAIN_S:
                raise Refused(self._refused)
            found = self._found
            if found is None or _is_stale(found):
                found = await self._looked_for()
            return found.get_frozen_credentials()

    async def _looked_for(self) -> Any:
        try:
            self._found = await asyncio.to_thread(_find, self._found)
        except Refused as refused:
            self._refused, self._looked = refused.message, time.monotonic()
            raise
        self._refused = ""
        return self._found

    def _signed(self, frozen: Any, method: str, url: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method, url, headers=headers, data=body)
        SigV4Auth(frozen, "bedrock", self._region).add_auth(request)
        return dict(request.headers.items())


def _is_stale(found: Any) -> bool:
    """Keys that never change have no such question."""
    needed = getattr(found, "refresh_needed", None)
    return needed is not None and bool(needed())


def _find(found: Any) -> Any:
    """Blocks. Credentials that are fresh; `found` are the ones so far."""
    try:
        from botocore.exceptions import BotoCoreError, ProfileNotFound
        from botocore.session import Session
    except ImportError:
        raise Refused("Bedrock needs the package botocore, which is not installed here.") from None
    try:
        found = found or Session().get_credentials()
        if found is None:
            raise Refused(_NONE)
        found.get_frozen_credentials()
    except ProfileNotFound as error:
        raise Refused(f"{error}. Mend AWS_PROFILE, or write the profile.") from None
    except BotoCoreError as error:
        raise _away(error) from error
    return found


def _away(error: Exception) -> ProviderError:
    """A token service that does not answer now may answer soon; nothing was sent to a model."""
    return Unreachable(f"AWS's credentials cannot be had now: {error}")
