"""The port of batches, kept by each provider that has them against the double's real wire."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest

from providers import fake_server
from providers.anthropic import AnthropicProvider
from providers.batches import Batches, Batching, Forgotten, Parcel, Standing
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Image, Message
from providers.config import Server
from providers.errors import Rejected, Unsupported
from providers.fake_server import FakeServer
from providers.openai import OpenAIProvider

KEY = "sk-a-secret-of-ours"
FULL = {"good": "A fox sleeps.", "late": "[fake:batch_expired] A fox.", "down": "[fake:batch_failed] A fox."}


@dataclass
class At:
    """A provider's batches, and the double behind them."""

    there: Batches
    node: str
    double: FakeServer
    marks: bool
    """Its list shows markers."""

    def call(self, text: str) -> ChatCall:
        return ChatCall("fake:latest", (Message("user", text),), 5.0, max_tokens=50)

    def parcel(self, marker: str = "gs-1", **texts: str) -> Parcel:
        return Parcel(marker, "fake:latest", "chat", [(id_, self.there.item(self.call(t))) for id_, t in texts.items()])

    async def submitted(self, parcel: Parcel) -> Standing:
        return await self.there.submit(parcel, self.node, 5.0)

    async def ended(self, standing: Standing) -> Standing:
        while not (found := await self.there.look(standing.id, self.node)).ended:
            await asyncio.sleep(0.01)
        return found


@pytest.fixture(params=["openai", "anthropic"])
async def at(request: pytest.FixtureRequest) -> AsyncIterator[At]:
    async with await fake_server.start() as double:
        server = Server("openai", (f"{double.url}/v1",), key=KEY, style="openai")
        provider = OpenAIProvider(server) if request.param == "openai" else AnthropicProvider(KEY, double.url)
        assert isinstance(provider, Batching)
        there = provider.batches()
        assert there is not None
        yield At(there, provider.nodes()[0], double, marks=request.param == "openai")
        await provider.aclose()


async def test_an_answer_is_that_of_the_call_and_of_the_batch_tier(at: At) -> None:
    done = await at.ended(await at.submitted(at.parcel(one="A fox sleeps.", two="A hare runs.")))
    found = {each.id: each.body for each in await at.there.results(done, at.node)}
    answers = {id_: at.there.read(body or b"", at.call("A fox sleeps."), at.node) for id_, body in found.items()}
    fox, hare = answers["one"], answers["two"]
    assert isinstance(fox, ChatAnswer)
    assert isinstance(hare, ChatAnswer)
    assert (fox.text, hare.text, fox.spent.tier) == ("A fox sleeps.", "A hare runs.", "batch")
    assert fox.spent == at.there.spent(found["one"] or b"")
    assert fox.spent.input_tokens > 0


async def test_of_a_batch_half_of_which_was_not_run_the_other_half_is_there(at: At) -> None:
    done = await at.ended(await at.submitted(at.parcel(**FULL)))
    found = {each.id: each for each in await at.there.results(done, at.node)}
    assert {id_: each.body is not None for id_, each in found.items()} == {"good": True, "late": False, "down": False}
    assert all(found[id_].why for id_ in ("late", "down"))


async def test_a_call_that_is_refused_says_so_when_it_is_read(at: At) -> None:
    done = await at.ended(await at.submitted(at.parcel(bad="[fake:rejected] A fox.")))
    (only,) = await at.there.results(done, at.node)
    with pytest.raises(Rejected):
        at.there.read(only.body or b"", at.call("A fox."), at.node)
    assert at.there.spent(only.body or b"") is None


async def test_a_picture_by_url_goes_into_batches_of_the_provider_itself_only(at: At) -> None:
    turn = Message("user", "", (Image("https://169.254.169.254/latest/"),))
    with pytest.raises(Unsupported, match="data URLs"):
        at.there.item(replace(at.call(""), messages=(turn,)))


async def test_what_was_handed_over_is_found_again_and_nothing_else_is(at: At) -> None:
    at.double.batches.takes_s = None
    since = time.time()
    others = [await at.submitted(at.parcel(f"gs-other-{n}", one="A", two="B")) for n in range(3)]
    parcel = at.parcel("gs-1", a="A fox sleeps.")
    mine = await at.submitted(parcel)
    found = await at.there.find(parcel, since, at.node)
    assert [(each.id, each.proven) for each in found] == [(mine.id, at.marks)]
    assert mine.id not in {each.id for each in others}
    assert await at.there.find(replace(parcel, marker="gs-2", items=parcel.items * 2), since + 7200, at.node) == []


async def test_one_that_is_stopped_gives_back_what_was_run(at: At) -> None:
    at.double.batches.takes_s, at.double.batches.run_share = None, 0.5
    begun = await at.submitted(at.parcel(a="A fox.", b="A hare."))
    await at.there.stop(begun.id, at.node)
    found = await at.there.results(await at.ended(begun), at.node)
    assert sorted(each.body is not None for each in found) == [False, True]


async def test_a_batch_that_is_taken_away_is_forgotten(at: At) -> None:
    done = await at.ended(await at.submitted(at.parcel(a="A fox.")))
    await at.there.tidy(done, at.node)
    assert at.double.batches.files == {}
    with pytest.raises(Forgotten):
        await at.there.look("batch_nobody", at.node)


async def test_its_list_is_read_page_by_page(at: At) -> None:
    at.double.batches.takes_s = None
    parcel = at.parcel("gs-first", a="A fox.")
    first = await at.submitted(parcel)
    for n in range(120):
        at.double.batches.make(f"other{n}", "openai" if at.marks else "anthropic", "/v1/messages", [], _nothing())
    assert [each.id for each in await at.there.find(parcel, time.time() - 60, at.node)] == [first.id]


def _nothing() -> dict[str, object]:
    return {"metadata": {}, "input_file_id": "file-none"}


async def test_embeddings_go_into_batches_of_openai() -> None:
    async with await fake_server.start() as double:
        provider = OpenAIProvider(Server("openai", (f"{double.url}/v1",), key=KEY, style="openai"))
        there, node = provider.batches(), provider.nodes()[0]
        assert there is not None
        call = EmbedCall("fake-embed:latest", ("a fox", "a hare"), 5.0)
        await there.submit(Parcel("gs-1", call.model, "embed", [("one", there.item(call))]), node, 5.0)
        await asyncio.sleep(0.02)
        (found,) = await there.find(Parcel("gs-1", call.model, "embed", [("one", b"")]), 0.0, node)
        (only,) = await _results(there, found, node)
        answer = there.read(only or b"", call, node)
        assert isinstance(answer, EmbedAnswer)
        assert (len(answer.vectors), answer.spent.tier) == (2, "batch")
        await provider.aclose()


async def _results(there: Batches, standing: Standing, node: str) -> Sequence[bytes | None]:
    return [each.body for each in await there.results(standing, node)]


async def test_a_server_that_is_only_compatible_has_none() -> None:
    provider = OpenAIProvider(Server("vllm", ("http://127.0.0.1:9/v1",)))
    assert provider.batches() is None
    await provider.aclose()
