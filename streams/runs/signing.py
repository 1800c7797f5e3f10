"""Signatures of Standard Webhooks (specification 1.0.0, symmetric, `v1`): pure, held by the test vector of its libraries."""

import base64
import hashlib
import hmac

PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """Raises ValueError for what is no secret of ours."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("the secret must be `whsec_` and the base64 of 24 to 64 random bytes")
    return key


def headers(secret: str, id_: str, at: int, body: bytes) -> dict[str, str]:
    """`id_` names the message, the same at each try; `at`: seconds since 1970, of this try."""
    signed = hmac.new(key_of(secret), f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        "content-type": "application/json",
    }
