"""Bedrock's provider: who signs, what is missing, and a request for embeddings of which only a part was answered."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from providers import fake_server
from providers.base import Shelf
from providers.bedrock import BedrockProvider
from providers.calls import ChatCall, EmbedCall, Image, Message
from providers.double.bedrock import CLAUDE, COHERE, NOVA, TITAN
from providers.double.faults import Behaviour
from providers.double.http1 import Request
from providers.errors import (
    ModelNotFound,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    Unreachable,
    Unsupported,
)

pytestmark = pytest.mark.fast

ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HELLO = (Message("user", "hello"),)


@pytest.fixture
async def server() -> AsyncIterator[fake_server.FakeServer]:
    async with await fake_server.start(how=Behaviour(context_tokens=2000)) as server:
        yield server


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """A machine without any AWS credentials; nobody is asked over the network."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


def _recorded(server: fake_server.FakeServer, requests: list[Request]) -> None:
    received = server.received

    def heard(connection: Any, request: Request) -> None:
        requests.append(request)
        received(connection, request)

    server.received = heard  # type: ignore[method-assign]


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
async def test_a_call_is_signed_with_the_credentials_of_the_chain(
    server: fake_server.FakeServer, nowhere: pytest.MonkeyPatch, model: str
) -> None:
    """The signature is the one that AWS computes of what arrived: the path is signed as it is sent."""
    nowhere.setenv("AWS_ACCESS_KEY_ID", ID)
    nowhere.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    nowhere.setenv("AWS_SESSION_TOKEN", "a-session")
    requests: list[Request] = []
    _recorded(server, requests)
    provider = BedrockProvider("eu-central-1", url=server.url)
    answer = await provider.chat(ChatCall(model, HELLO, 5.0, tag="r/1"), provider.nodes()[0])
    await provider.aclose()
    assert answer.text
    assert [(each.path, each.tag) for each in requests] == [(f"/model/{model}/converse", "r/1")]
    assert requests[0].headers["authorization"] == _signature(requests[0], server.url)


def _signature(arrived: Request, url: str) -> str:
    told = arrived.headers["authorization"]
    names = re.search(r"SignedHeaders=([^,]+)", told)
    assert names is not None
    signed = {
        name: arrived.headers[name]
        for name in names[1].split(";")
        if name not in ("host", "x-amz-date", "x-amz-security-token")
    }
    request = AWSRequest("POST", url + arrived.path, headers=signed, data=arrived.body)
    request.context["timestamp"] = arrived.headers["x-amz-date"]
    auth = SigV4Auth(Credentials(ID, SECRET, "a-session"), "bedrock", "eu-central-1")
    request.headers["X-Amz-Date"] = arrived.headers["x-amz-date"]
    request.headers["X-Amz-Security-Token"] = "a-session"
    request.headers["host"] = urlsplit(url).netloc
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names[1]}, Signature={signature}"


async def test_an_arn_arrives_as_it_was_signed(server: fake_server.FakeServer) -> None:
    """Its slash is a part of the name, and must not be made a slash of the path on the way."""
    requests: list[Request] = []
    _recorded(server, requests)
    provider = BedrockProvider("eu-central-1", url=server.url, key="ABSK")
    with pytest.raises(ModelNotFound):
        await provider.chat(
            ChatCall("arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x", HELLO, 5.0), provider.nodes()[0]
        )
    await provider.aclose()
    assert requests[0].path == "/model/arn:aws:bedrock:eu-central-1:1:inference-profile%2Feu.x/converse"


async def test_without_credentials_it_refuses_in_a_sentence(nowhere: pytest.MonkeyPatch) -> None:
    provider = BedrockProvider("eu-central-1", url="http://127.0.0.1:9")
    for _ in range(2):  # the second time it does not look again
        with pytest.raises(Refused, match="There are no AWS credentials"):
            await provider.chat(ChatCall(CLAUDE, HELLO, 5.0), provider.nodes()[0])
    assert await provider.models() == ()
    assert (await provider.shelf()).models == ()
    await provider.aclose()


async def test_credentials_that_do_not_come_in_time_are_no_paid_call(
    nowhere: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A program that a profile names for them takes as long as it likes."""
    (tmp_path / "config").write_text("[default]\ncredential_process = sleep 0.8\n")
    provider = BedrockProvider("eu-central-1", url="http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"within 0\.2 s"):
        await provider.chat(ChatCall(CLAUDE, HELLO, 0.2), provider.nodes()[0])
    await provider.aclose()


async def test_a_profile_that_is_not_there_is_named(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv("AWS_PROFILE", "nope")
    provider = BedrockProvider("eu-central-1", url="http://127.0.0.1:9")
    with pytest.raises(Refused, match=r"nope.*AWS_PROFILE"):
        await provider.chat(ChatCall(CLAUDE, HELLO, 5.0), provider.nodes()[0])
    await provider.aclose()


async def test_without_a_region_it_is_known_and_says_what_to_set() -> None:
    provider = BedrockProvider(None)
    assert await provider.shelf() == Shelf((), (provider.missing,))
    for attempt in (
        provider.models(),
        provider.chat(ChatCall(CLAUDE, HELLO, 5.0), "x"),
        provider.embed(EmbedCall(TITAN, ("x",), 5.0), "x"),
    ):
        with pytest.raises(Refused, match="GENAI_BEDROCK_REGION"):
            await attempt
    await provider.aclose()


def test_its_node_is_the_regions_address() -> None:
    assert BedrockProvider("eu-central-1").nodes() == ("https://bedrock-runtime.eu-central-1.amazonaws.com",)
    assert BedrockProvider("cn-north-1").nodes() == ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn",)


@pytest.fixture
async def keyed(server: fake_server.FakeServer) -> AsyncIterator[BedrockProvider]:
    provider = BedrockProvider("eu-central-1", url=server.url, key="ABSK")
    yield provider
    await provider.aclose()


async def test_what_some_texts_cost_is_told_when_another_one_fails(keyed: BedrockProvider) -> None:
    """Four at a time: of the second four one is told to wait, after seven were answered and paid."""
    texts = ("one",) * 5 + ("[fake:rate_limited:7] two",) + ("three words here",) * 3
    with pytest.raises(ServerError) as caught:
        await keyed.embed(EmbedCall(TITAN, texts, 5.0), keyed.nodes()[0])
    assert caught.value.spent is not None
    assert (caught.value.spent.input_tokens, caught.value.retry_after_s) == (5 + 2 * 3, 7.0)


async def test_a_call_that_was_refused_at_once_is_surely_not_paid(keyed: BedrockProvider) -> None:
    with pytest.raises(RateLimited):
        await keyed.embed(EmbedCall(COHERE, ("one", "[fake:rate_limited] two"), 5.0), keyed.nodes()[0])


async def test_a_model_that_is_there_and_has_no_embeddings_says_who_has(keyed: BedrockProvider) -> None:
    with pytest.raises(Unsupported, match=r"amazon\.titan-embed"):
        await keyed.embed(EmbedCall(NOVA, ("one",), 5.0), keyed.nodes()[0])


async def test_a_picture_at_an_address_that_must_not_be_reached_is_refused(keyed: BedrockProvider) -> None:
    """Bedrock takes bytes only, so it is fetched here, and its address is judged."""
    turn = Message("user", "What is this?", ("What is this?", Image("https://127.0.0.1:9/a.png")))
    with pytest.raises(ProviderError, match="GENAI_OUTBOUND_ALLOW") as caught:
        await keyed.chat(ChatCall(CLAUDE, (turn,), 5.0), keyed.nodes()[0])
    assert caught.value.maybe_paid is False


async def test_its_shelf_has_what_can_be_called(keyed: BedrockProvider) -> None:
    shelf = await keyed.shelf()
    assert {model.name: model.kind for model in shelf.models} == {
        CLAUDE: "chat",
        NOVA: "chat",
        TITAN: "embed",
        COHERE: "embed",
    }


async def test_a_key_that_a_server_quotes_is_not_shown(replay: Callable[..., Any]) -> None:
    from providers.double.http1 import Response

    server = await replay(Response(b'{"message":"Bearer ABSK-secret is not valid"}', 400))
    provider = BedrockProvider("eu-central-1", url=server.url, key="ABSK-secret")
    with pytest.raises(Rejected) as caught:
        await provider.chat(ChatCall(CLAUDE, HELLO, 5.0), provider.nodes()[0])
    assert "ABSK-secret" not in str(caught.value)
    await provider.aclose()
