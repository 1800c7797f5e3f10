"""Keys of callers: how one looks, what is kept of it, and how scopes, limits and keys are written and shown.

A key is 43 random letters and digits, 256 bits: nobody guesses one, so a plain SHA-256 of it is kept, and no slow hash, which is
for words that people choose. A slow one would cost every request 50 ms or more.
"""

import hashlib
import re
import secrets
import string
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.request import Lane
from store.keys import Secret, Wish
from streams import requested

_MARK = "genai_"
_LETTERS = string.ascii_letters + string.digits
_SHOWN, _HIDDEN = 8, 43
KEY = re.compile(rf"{_MARK}[A-Za-z0-9]{{{_SHOWN}}}_[A-Za-z0-9]{{{_HIDDEN}}}")
OVERLAP_S = 86_400.0
LONGEST_S = 3650 * 86_400.0
MOST_GLOBS, MOST_LIMIT = 100, 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])")
_GLOB = re.compile(r"[^\s,\x00-\x1f\x7f]{1,200}")
FIELDS = ("name", "tenant", "operations", "models", "lanes", "admin", "rpm", "tpm", "concurrency", "expires")


def make() -> tuple[str, str]:
    """An id, and a key that nobody has."""
    return f"key-{_random(12).lower()}", fresh()


def fresh() -> str:
    """A key that nobody has."""
    return f"{_MARK}{_random(_SHOWN)}_{_random(_HIDDEN)}"


def _random(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def secret(key: str) -> Secret:
    """What is kept of it."""
    return Secret(prefix(key), digest(key.encode()))


def prefix(key: str) -> str:
    """What may be shown of it, and what it is found by."""
    return key[: len(_MARK) + _SHOWN]


def digest(key: bytes) -> bytes:
    """What is kept instead of it."""
    return hashlib.sha256(key).digest()


def is_one(text: str) -> bool:
    """Whether it has the form of a key that was made here."""
    return KEY.fullmatch(text) is not None


def span(told: str) -> float:
    """`90d`, `12h`, `30m`, `45s` or `0` in seconds. Raises ValueError."""
    found = _SPAN.fullmatch(told.strip().lower())
    if told.strip() == "0":
        return 0.0
    if found is None or int(found[1]) * _UNITS[found[2]] > LONGEST_S:
        raise ValueError(f"{told[:100]!r} is no length of time; write for example 90d, 12h, 30m or 45s, at most 3650d.")
    return float(int(found[1]) * _UNITS[found[2]])


def globs(what: str, told: Sequence[str]) -> list[str]:
    """Scopes of one kind; none told: everything. Raises ValueError."""
    found = [part for each in told for part in each.split(",") if part]
    for each in found:
        if not _GLOB.fullmatch(each):
            raise ValueError(f"{each[:100]!r} is no pattern for {what}; write a name, or one with *, such as ollama/*.")
    if len(found) > MOST_GLOBS:
        raise ValueError(f"{len(found)} patterns for {what} are too many; at most {MOST_GLOBS}.")
    lanes = [lane.name.lower() for lane in Lane]
    if what == "lanes" and (wrong := [each for each in found if each not in (*lanes, "*")]):
        raise ValueError(f"{wrong[0][:100]!r} is no lane; choose some of {', '.join(lanes)}.")
    return found or ["*"]


def wish(told: Mapping[str, Any]) -> Wish:
    """From `FIELDS`, any of which but the name may be missing or None. Raises ValueError with a sentence."""
    if unknown := sorted(told.keys() - set(FIELDS)):
        raise ValueError(f"The field {unknown[0][:100]!r} is not known; known are {', '.join(FIELDS)}.")
    admin = told.get("admin") or False
    if not isinstance(admin, bool):
        raise ValueError("admin is no boolean; write true or false.")  # noqa: TRY004 - it is said to people
    if admin and told.get("tenant") is not None:
        raise ValueError("A key with the scope admin acts for every tenant; leave the tenant out, or admin.")
    name = _text("name", told.get("name"))
    if name is None:
        raise ValueError("The key needs a name, by which people know whose it is.")
    expires = _text("expires", told.get("expires"))
    lives_s = None if expires is None else span(expires)
    if lives_s == 0:
        raise ValueError("A key that expires at once is of no use; leave expires out for one that does not expire.")
    scopes = {kind: globs(kind, _list(kind, told.get(kind))) for kind in ("operations", "models", "lanes")}
    return Wish(
        name=name,
        tenant=_text("tenant", told.get("tenant")),
        scopes={**scopes, "admin": admin},
        lives_s=lives_s,
        **{limit: _limit(limit, told.get(limit)) for limit in ("rpm", "tpm", "concurrency")},
    )


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is no text.")
    return requested.named(name, value)


def _list(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} is no list of texts.")
    return value


def _limit(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_LIMIT:
        raise ValueError(f"{name}={str(value)[:100]} is no whole number from 1 to {MOST_LIMIT}.")
    return value


def state(row: Any, at: float) -> str:
    """works, expired or revoked."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= at else "works"


def told(row: Any, at: float | None = None) -> dict[str, Any]:
    """One key for programs, without its secret, which nobody has."""
    now = time.time() if at is None else at
    overlapping = row.old_until is not None and row.old_until > now and row.revoked_at is None
    return {
        "id": row.id,
        "prefix": row.prefix,
        "name": row.name,
        "tenant": row.tenant,
        "state": state(row, now),
        **orjson.loads(row.scopes),
        "rpm": row.rpm,
        "tpm": row.tpm,
        "concurrency": row.concurrency,
        "made_at": moment(row.made_at),
        "expires_at": moment(row.expires_at),
        "rotated_at": moment(row.rotated_at),
        "revoked_at": moment(row.revoked_at),
        "used_at": moment(row.used_at),
        "old_prefix": row.old_prefix if overlapping else None,
        "old_until": moment(row.old_until) if overlapping else None,
    }


def moment(at: float | None) -> str | None:
    """RFC 3339."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
