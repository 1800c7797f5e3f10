"""`GET /v1/models`: whoever answers is listed, whoever does not is named."""

from pathlib import Path

import httpx
import pytest

from providers import routes
from providers.double.faults import Behaviour
from providers.fake_server import FakeServer
from streams import catalogue
from tests.streams.test_web_keys import bearing, made
from tests.streams.webs import client, opened, web_settings

NOBODY = "http://127.0.0.1:1"


async def listed(tmp_path: Path, path: str = "/v1/models", **changes: object) -> httpx.Response:
    async with opened(web_settings(tmp_path, **{"ollama_url": NOBODY, **changes})) as (front, _):
        async with client(front) as api:
            return await api.get(path)


async def test_a_provider_that_is_away_is_told_and_the_others_are_listed(tmp_path: Path) -> None:
    reply = await listed(tmp_path)
    told = reply.json()
    assert (reply.status_code, told["object"], {each["object"] for each in told["data"]}) == (200, "list", {"model"})
    assert {"fake", "local/smollm2-135m"} <= {each["id"] for each in told["data"]}
    by_name = {each["name"]: each for each in told["providers"]}
    assert (by_name["fake"]["ok"], by_name["ollama"]["ok"]) == (True, False)
    assert f"No connection to {NOBODY}" in by_name["ollama"]["why"]


async def test_what_is_known_of_a_model(tmp_path: Path) -> None:
    prices = {"fake/fake": {"input_per_million": "2"}}
    data = {each["id"]: each for each in (await listed(tmp_path, prices=prices)).json()["data"]}
    model = data["fake"]
    assert (model["owned_by"], model["kind"], model["loaded"], model["context_tokens"]) == ("fake", "chat", True, 8192)
    assert (model["price"]["input_per_million"], model["price"]["source"]) == ("2", "settings")
    local = data["local/all-minilm-l6-v2"]
    assert (local["kind"], local["loaded"], local["context_tokens"]) == ("embed", False, 256)
    assert local["price"]["source"] == "default"


async def test_nodes_of_ollama_are_asked_one_by_one(tmp_path: Path) -> None:
    async with FakeServer(Behaviour(), slots=0, models=("llama3.2:latest", "nomic-embed-text:latest")) as server:
        await server.listen("127.0.0.1", 0)
        told = (await listed(tmp_path, ollama_url=f"{server.url},{NOBODY}")).json()
    found = {each["id"]: each for each in told["data"] if each["owned_by"] == "ollama"}
    assert {name: (each["kind"], each["loaded"]) for name, each in found.items()} == {
        "ollama/llama3.2:latest": ("chat", True),
        "ollama/nomic-embed-text:latest": ("embed", True),
    }
    (why,) = [each["why"] for each in told["providers"] if each["name"] == "ollama"]
    assert NOBODY in why and server.url not in why


async def test_one_model(tmp_path: Path) -> None:
    assert (await listed(tmp_path, "/v1/models/fake-embed")).json()["kind"] == "embed"
    assert (await listed(tmp_path, "/v1/models/fake/fake-embed")).json()["id"] == "fake-embed"
    assert (await listed(tmp_path, "/v1/models/local/smollm2-135m")).json()["owned_by"] == "local"
    reply = await listed(tmp_path, "/v1/models/fake-embde")
    assert "did you mean fake-embed?" in reply.json()["error"]["message"]
    reply = await listed(tmp_path, "/v1/models/no/such")
    error = reply.json()["error"]
    assert (reply.status_code, {name: error[name] for name in ("type", "param", "code")}) == (
        404,
        {"type": "invalid_request_error", "param": "model", "code": "model_not_found"},
    )
    assert "'no/such'" in error["message"] and NOBODY in error["message"]


async def test_whoever_may_not_see_models_is_told_as_openais_clients_read_it(tmp_path: Path) -> None:
    reply = await listed(tmp_path, api_key="k")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_every_id_can_be_named_as_a_model_and_a_route_is_one(tmp_path: Path) -> None:
    """And means the very model that it stands for, where a route has taken its bare name too."""
    file = tmp_path / "routes.yaml"
    file.write_text("routes:\n  fake: {targets: [local/smollm2-135m], fallbacks: [ollama/x]}\n  away: ollama/x\n")
    async with opened(web_settings(tmp_path, routes=str(file), ollama_url=NOBODY)) as (front, spine):
        async with client(front) as api:
            data = (await api.get("/v1/models")).json()["data"]
        router = spine.decoder.router
        for each in data:
            found = routes.resolve(each["id"], router.table, router.providers, "fake")
            name = each["id"].removeprefix(f"{each['owned_by']}/")
            assert found == (router.table.routes.get(each["id"]) or routes.Model(each["owned_by"], name))
    assert {each["id"] for each in data} >= {"fake", "fake/fake", "fake-embed", "local/smollm2-135m"}
    (route,) = [each for each in data if each["owned_by"] == "route"]  # nobody answers behind the other one
    assert (route["id"], route["targets"]) == ("fake", ["local/smollm2-135m"])
    can = next(each["can"] for each in data if each["id"] == "fake/fake")
    assert (can["response_format"], can["tools"]) == (True, True)


_KEYS = [  # the models of a key, what of /v1/models it is shown, and whether two models are there for it
    (["fake/fake"], {"fake/fake"}, {"fake/fake": 200, "fake/fake-embed": 404, "both": 404}),
    (["fake/*"], {"fake/fake", "fake-embed", "fake"}, {"fake/fake": 200, "fake-embed": 200, "both": 404}),
    (["both"], {"both"}, {"both": 200, "local/smollm2-135m": 404}),
    (["nothing/*"], set(), {"fake-embed": 404}),
]


@pytest.mark.parametrize(("models", "shown", "there"), _KEYS)
async def test_a_key_is_shown_what_it_may_call(
    tmp_path: Path, models: list[str], shown: set[str], there: dict[str, int]
) -> None:
    """`fake` is a route here, so that its model goes by its whole name."""
    file = tmp_path / "routes.yaml"
    file.write_text(
        "routes:\n  fake: fake/fake-embed\n  both: {targets: [local/smollm2-135m], fallbacks: [fake/fake]}\n"
    )
    async with opened(web_settings(tmp_path, routes=str(file), ollama_url=NOBODY)) as (front, spine):
        key, _ = await made(spine, tenant="t", models=models)
        await front.keys.look(spine.database)
        async with bearing(front, key) as api:
            data = (await api.get("/v1/models")).json()["data"]
            found = {name: (await api.get(f"/v1/models/{name}")).status_code for name in there}
            unknown = (await api.get("/v1/models/smollm2")).json()
    assert ({each["id"] for each in data}, found) == (shown, there)
    assert "local/smollm2" not in unknown["error"]["message"]


class Broken:
    """A provider that knows only names, and one that falls over."""

    def __init__(self, name: str, names: tuple[str, ...] | None) -> None:
        self.name, self._names = name, names

    async def models(self) -> tuple[str, ...]:
        if self._names is None:
            raise RuntimeError("secret")
        return self._names

    def nodes(self) -> tuple[str, ...]:
        return ("n",)


async def test_a_provider_that_falls_over_is_nobody_elses_trouble() -> None:
    asked = {"a": Broken("a", ("m",)), "b": Broken("b", None), "c": Broken("c", ())}
    found = await catalogue.sections(asked)  # type: ignore[arg-type]
    assert [(each.provider, [model.name for model in each.models], each.why) for each in found] == [
        ("a", ["m"], ""),
        ("b", [], "b does not answer (RuntimeError)."),
        ("c", [], "c has no model at n."),
    ]
