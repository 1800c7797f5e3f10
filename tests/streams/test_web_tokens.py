"""Tokens of services: an issuer over HTTP, its keys exchanged under way, and a table of tokens that must not work."""

import base64
import hmac
import http.server
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from pydantic import ValidationError

from streams.web import tokens
from streams.web.front import Front
from streams.web.principal import Principal, Scopes
from streams.web.problems import Problem
from streams.web.tokens import Tokens, Trust, trust
from tests.parts.kafka import make_settings
from tests.streams.webs import client, opened, web_settings

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
EDWARDS = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
TOLD = {"jwt_issuer": "https://issuer.example", "jwt_audience": "genai-spine"}


class Issuer:
    """Answers with its public keys; `asked` counts how often."""

    def __init__(self, *keys: Any) -> None:
        self.keys, self.asked, self.status = list(keys), 0, 200
        issuer = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps({"keys": [key.as_dict(private=False) for key in issuer.keys]}).encode()
                self.send_response(issuer.status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer(RSA, EC, EDWARDS)
    yield made
    made.server.shutdown()
    made.server.server_close()


def trusting(issuer: Issuer, **changes: Any) -> Tokens:
    found = trust(make_settings(jwt_jwks=issuer.url, **TOLD, **changes))
    assert isinstance(found, Trust)
    return Tokens(found)


def signed(key: Any = RSA, alg: str = "RS256", header: dict[str, Any] | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": TOLD["jwt_issuer"], "aud": TOLD["jwt_audience"], "exp": now + 300, "sub": "crawler", "tenant": "b"}
    told = {name: value for name, value in (claims | changes).items() if value is not None}
    protected = {"alg": alg, "kid": key.kid, **(header or {})}
    return jws.serialize_compact(protected, json.dumps(told).encode(), key, algorithms=[alg])


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    ("token", "who"),
    [
        (signed, Principal("jwt:crawler", "b")),
        (lambda: signed(EC, "ES256"), Principal("jwt:crawler", "b")),
        (lambda: signed(EDWARDS, "Ed25519"), Principal("jwt:crawler", "b")),
        (lambda: signed(aud=["other", "genai-spine"]), Principal("jwt:crawler", "b")),
        (lambda: signed(exp=int(time.time()) - 10), Principal("jwt:crawler", "b")),  # within the leeway
        (lambda: signed(scope="openid admin"), Principal("jwt:crawler", None, Scopes(admin=True))),
        (
            lambda: signed(scope="operations:summ* lanes:batch models:fake/*"),
            Principal("jwt:crawler", "b", Scopes(("summ*",), ("fake/*",), ("batch",))),
        ),
        (lambda: signed(scope=["operations:embed"]), Principal("jwt:crawler", "b", Scopes(operations=("embed",)))),
    ],
)
async def test_a_token_stands_for_whom_its_claims_name(issuer: Issuer, token: Any, who: Principal) -> None:
    assert await trusting(issuer, jwt_algorithms="RS256,ES256,Ed25519").find(token()) == who


def _by_the_public_key() -> str:
    """As a library would believe it that lets the token choose how it is checked."""
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{signed().split('.')[1]}"
    return f"{text}.{part(hmac.digest(RSA.as_pem(private=False), text.encode(), 'sha256'))}"


_NOW = int(time.time())
_BAD: list[tuple[str, Any]] = [
    ("not signed at all", lambda: f"{part({'alg': 'none'})}.{signed().split('.')[1]}."),
    ("none, written otherwise", lambda: f"{part({'alg': 'nOnE', 'kid': 'rsa'})}.{signed().split('.')[1]}."),
    ("signed with the public key", _by_the_public_key),
    ("another's key under the same name", lambda: signed(STRANGER)),
    ("a key that nobody publishes", lambda: signed(header={"kid": "gone"})),
    ("an algorithm that is not among ours", lambda: signed(RSA, "PS256")),
    ("the algorithm of another key", lambda: signed(header={"kid": "ec"})),
    ("its own key in the header", lambda: signed(STRANGER, header={"jwk": STRANGER.as_dict(private=False)})),
    (
        "a header that must be understood",
        lambda: f"{part({'alg': 'RS256', 'kid': 'rsa', 'crit': ['x'], 'x': 1})}.e30.AA",
    ),
    ("for somebody else", lambda: signed(aud="other")),
    ("for nobody", lambda: signed(aud=None)),
    ("by somebody else", lambda: signed(iss="https://issuer.example.org")),
    ("by nobody", lambda: signed(iss=None)),
    ("over", lambda: signed(exp=_NOW - 60)),
    ("without an end", lambda: signed(exp=None)),
    ("an end that is a text", lambda: signed(exp="never")),
    ("an end that is no number", lambda: signed(exp=float("nan"))),
    ("longer than a day", lambda: signed(exp=_NOW + 100_000)),
    ("not yet", lambda: signed(nbf=_NOW + 5_000)),
    ("of the future", lambda: signed(iat=_NOW + 5_000)),
    ("without a subject", lambda: signed(sub=None)),
    ("a subject of control characters", lambda: signed(sub="a\nb")),
    ("without a tenant", lambda: signed(tenant=None)),
    ("a tenant that is a list", lambda: signed(tenant=["a", "b"])),
    ("half a surrogate pair", lambda: signed(tenant="\ud800")),
    ("a lane that is none", lambda: signed(scope="lanes:fast")),
    ("claims that were changed", lambda: ".".join([(s := signed().split("."))[0], part({"sub": "x"}), s[2]])),
    ("claims that are a list", lambda: f"{signed().split('.')[0]}.{part([1])}.AA"),
    ("a header that is a list", lambda: f"{part([1])}.e30.AA"),
    ("a deep header", lambda: f"{part(b'[' * 9000)}.e30.AA"),
    ("dots", lambda: ".."),
    ("more dots", lambda: "a.b.c.d.e"),
    ("non-ASCII", lambda: "é.é.é"),
    ("too long", lambda: f"a.{'b' * 20_000}.c"),
]


async def test_tokens_that_must_not_work_do_not(issuer: Issuer) -> None:
    checking = trusting(issuer)
    assert isinstance(await checking.find(signed()), Principal)
    for why, token in _BAD:
        found = await checking.find(token())
        assert isinstance(found, str), why
        assert found.startswith("The token "), why


async def test_a_new_key_of_the_issuer_is_asked_for_and_an_unknown_one_not_again_and_again(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, new = trusting(issuer), RSAKey.generate_key(2048, {"kid": "new"})
    for _ in range(5):
        assert isinstance(await checking.find(signed(new)), str)
    assert issuer.asked == 1
    issuer.keys = [new]
    monkeypatch.setattr(tokens, "AGAIN_S", 0.0)
    assert isinstance(await checking.find(signed(new)), Principal)
    assert isinstance(await checking.find(signed()), str)  # the old one is published no longer
    issuer.status = 500
    assert isinstance(await checking.find(signed()), str)
    assert isinstance(await checking.find(signed(new)), Principal)  # what is known goes on to count


async def test_while_the_issuer_has_never_answered_nothing_is_refused_for_good(issuer: Issuer) -> None:
    issuer.status = 500
    with pytest.raises(Problem, match="not known yet") as told:
        await trusting(issuer).find(signed())
    assert told.value.status == 503


async def test_keys_come_from_a_file_too_and_a_secret_among_them_is_left_out(tmp_path: Path) -> None:
    secret = OctKey.import_key(b"a" * 32, {"kid": "rsa"})
    listed = [secret.as_dict(private=True), RSA.as_dict(private=False), {"kty": "RSA", "n": "!"}, {"kty": "new"}, 7]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": listed}))
    told = trust(make_settings(jwt_jwks=str(tmp_path / "keys.json"), **TOLD))
    assert told is not None
    assert isinstance(await Tokens(told).find(signed()), Principal)
    assert isinstance(await Tokens(told).find(signed(secret, "HS256")), str)


@pytest.fixture
async def door(issuer: Issuer, tmp_path: Path) -> AsyncIterator[Front]:
    async with opened(web_settings(tmp_path, jwt_jwks=issuer.url, **TOLD)) as (front, _):
        yield front


async def test_at_the_door_a_token_is_a_key_and_without_one_it_is_closed(door: Front) -> None:
    async with client(door) as api:

        async def post(token: str | None, **body: str) -> int:
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            return (await api.post("/v1/summarize", json={"content": "One.", **body}, headers=headers)).status_code

        told = [
            await post(None),
            await post(signed()),
            await post(signed(), tenant="a"),
            await post(signed(scope="operations:embed")),
            await post(signed(aud="other")),
        ]
    assert told == [401, 200, 403, 403, 401]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jwt_jwks": "https://i.example/jwks"}, "GENAI_JWT_ISSUER"),
        ({"jwt_jwks": "https://i.example/jwks", "jwt_issuer": "i"}, "GENAI_JWT_AUDIENCE"),
        ({"jwt_jwks": "http://i.example/jwks", **TOLD}, "plain HTTP"),
        ({"jwt_jwks": "http://127.0.0.1.evil.example/", **TOLD}, "plain HTTP"),
        ({"jwt_algorithms": "HS256"}, "not taken"),
        ({"jwt_algorithms": "RS256,none"}, "not taken"),
        ({"jwt_algorithms": " , "}, "empty"),
    ],
)
def test_settings_that_would_trust_anybody_are_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make_settings(**changes)
