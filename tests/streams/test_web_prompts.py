"""The registry of prompts over HTTP, over SQLite and the double."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from store.registry import read
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

NEW = {
    "slug": "port-news",
    "system": "Be brief.",
    "template": "{{ content }}\nFor {{ port }}?",
    "variables": [
        {"name": "content", "type": "content"},
        {"name": "port", "type": "text", "default": "Bergen", "choices": ["Bergen", "Molde"]},
    ],
    "category": "news",
    "tags": ["ferries"],
}
ASK = {"prompt": "port-news", "variables": {"content": "The ferry is late."}}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, poll_s=30.0)) as made:  # so seldom that nothing is found by luck
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def created(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    reply = await api.post("/v1/prompts", json={**NEW, **changes})
    assert reply.status_code == 201, reply.text
    return reply.json()


async def moved(api: httpx.AsyncClient, version: int, label: str = "production") -> httpx.Response:
    return await api.post("/v1/prompts/port-news/labels", json={"label": label, "version": version, "why": "better"})


async def test_a_new_prompt_is_run_at_once(api: httpx.AsyncClient) -> None:
    made = await created(api)
    told = (await api.post("/v1/execute-prompt", json=ASK)).json()
    assert (made["version"], made["labels"], made["current"]["template"]) == (1, {}, NEW["template"])
    assert (told["status"], told["output"]["prompt"]) == (
        "succeeded",
        {"id": made["id"], "slug": "port-news", "version": 1, "label": None},
    )


async def test_the_shipped_prompts_are_there_and_keep_their_numbers(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/v1/prompts?limit=200")).json()["items"]
    shown = (await api.get("/v1/prompts/summarize")).json()
    assert {"summarize", "extract", "tone"} <= {item["slug"] for item in listed}
    assert all(item["is_system"] for item in listed)
    assert (shown["id"], shown["tenant"], shown["version"]) == ("library/summarize", None, 1)


async def test_an_edit_is_a_new_version_and_changes_none(api: httpx.AsyncClient) -> None:
    await created(api)
    edited = (await api.put("/v1/prompts/port-news", json={"template": "{{ content }}!", "notes": "shorter"})).json()
    first = (await api.get("/v1/prompts/port-news/versions/1")).json()
    assert (edited["version"], edited["current"]["template"], edited["current"]["notes"]) == (
        2,
        "{{ content }}!",
        "shorter",
    )
    assert (first["template"], edited["current"]["system"]) == (NEW["template"], "Be brief.")


async def test_what_a_prompt_is_for_changes_without_a_version(api: httpx.AsyncClient) -> None:
    await created(api)
    edited = (await api.put("/v1/prompts/port-news", json={"description": "News of ports.", "tags": ["a", "b"]})).json()
    same = (await api.put("/v1/prompts/port-news", json={"template": NEW["template"]})).json()
    assert (edited["version"], edited["description"], edited["tags"]) == (1, "News of ports.", ["a", "b"])
    assert same["version"] == 1


async def test_a_label_moves_and_what_waits_keeps_its_version(api: httpx.AsyncClient) -> None:
    await created(api)
    await api.put("/v1/prompts/port-news", json={"template": "{{ content }}! [fake:sleep:0.3]"})
    await moved(api, 2)
    slow = await api.post("/v1/execute-prompt?wait=0", json=ASK | {"id": "slow"})
    await moved(api, 1)
    fast = (await api.post("/v1/execute-prompt", json=ASK | {"id": "fast"})).json()
    while (told := (await api.get(slow.headers["location"])).json())["status"] == "unfinished":
        pass
    assert [one["output"]["prompt"]["version"] for one in (told, fast)] == [2, 1]
    assert fast["output"]["prompt"]["label"] == "production"


async def test_what_a_label_said_at_any_time_can_be_asked(api: httpx.AsyncClient) -> None:
    await created(api)
    await api.put("/v1/prompts/port-news", json={"template": "{{ content }}!"})
    for version in (1, 2):
        reply = await api.post(
            "/v1/prompts/port-news/labels",
            json={"label": "production", "version": version, "why": f"to {version}"},
            headers={"x-genai-user": "ada"},
        )
        assert reply.json()["labels"] == {"production": version}
    told = (await api.get("/v1/prompts/port-news/labels")).json()
    then = (await api.get("/v1/prompts/port-news/labels", params={"at": told["history"][1]["at"]})).json()
    assert [(move["from"], move["to"], move["who"], move["why"]) for move in told["history"]] == [
        (1, 2, "ada", "to 2"),
        (None, 1, "ada", "to 1"),
    ]
    assert (told["labels"], told["latest"], then["labels"]) == ({"production": 2}, 2, {"production": 1})


async def test_a_rollback_goes_back_and_a_second_one_further(api: httpx.AsyncClient) -> None:
    await created(api)
    for template in ("{{ content }}!", "{{ content }}?"):
        await api.put("/v1/prompts/port-news", json={"template": template})
    for version in (1, 2, 3):
        await moved(api, version)
    back = [await api.post("/v1/prompts/port-news/rollback", json={"why": "worse"}) for _ in range(4)]
    assert [reply.status_code for reply in back] == [200, 200, 404, 404]
    assert [reply.json()["labels"]["production"] for reply in back[:2]] == [2, 1]


async def test_two_versions_are_compared_field_by_field(api: httpx.AsyncClient) -> None:
    await created(api)
    await api.put("/v1/prompts/port-news", json={"template": "{{ content }}\nFor {{ port }}!", "system": "Be kind."})
    told = (await api.get("/v1/prompts/port-news/diff?from=1&to=2")).json()
    assert [change["field"] for change in told["changes"]] == ["system", "template"]
    assert told["changes"][1]["diff"][1:] == [" {{ content }}", "-For {{ port }}?", "+For {{ port }}!"]
    assert (await api.get("/v1/prompts/port-news/diff?from=2&to=2")).json()["same"] is True


async def test_a_change_of_what_somebody_else_changed_is_refused(api: httpx.AsyncClient) -> None:
    await created(api)
    tag = (await api.get("/v1/prompts/port-news")).headers["etag"]
    first = await api.put("/v1/prompts/port-news", json={"name": "a"}, headers={"if-match": tag})
    second = await api.put("/v1/prompts/port-news", json={"name": "b"}, headers={"if-match": tag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert "read it and try again" in second.json()["detail"]


async def test_an_archived_prompt_is_not_run_until_it_is_restored(api: httpx.AsyncClient) -> None:
    await created(api)
    await api.delete("/v1/prompts/port-news")
    refused = await api.post("/v1/execute-prompt", json=ASK)
    hidden = (await api.get("/v1/prompts?q=port")).json()["items"]
    archived = (await api.get("/v1/prompts?q=port&archived=true")).json()["items"]
    await api.post("/v1/prompts/port-news/restore")
    again = await api.post("/v1/execute-prompt", json=ASK)
    assert (refused.status_code, "archived" in refused.text, again.status_code) == (422, True, 200)
    assert (hidden, [item["slug"] for item in archived]) == ([], ["port-news"])


async def test_an_edit_to_nothing_leaves_the_template(api: httpx.AsyncClient) -> None:
    await created(api)
    edited = (await api.put("/v1/prompts/port-news", json={"template": None, "system": None})).json()
    assert (edited["version"], edited["current"]["template"]) == (2, NEW["template"])


async def test_an_edit_of_a_shipped_prompt_is_a_version_that_a_label_brings_into_use(api: httpx.AsyncClient) -> None:
    body = {
        "template": "{{ content }}\nIn five words.",
        "variables": [{"name": "content", "type": "content"}],
        "system": None,
    }
    edited = (await api.put("/v1/prompts/tone", json=body | {"output_schema": None})).json()
    await api.post("/v1/prompts/tone/labels", json={"label": "production", "version": 2, "why": "try"})
    told = (await api.post("/v1/execute-prompt", json={"prompt": "tone", "variables": {"content": "x"}})).json()
    refused = await api.delete("/v1/prompts/tone")
    assert (edited["version"], edited["is_system"], told["output"]["prompt"]["version"]) == (2, True, 2)
    assert (refused.status_code, "comes with the program" in refused.json()["detail"]) == (409, True)


async def test_a_prompt_is_rendered_without_a_call(api: httpx.AsyncClient) -> None:
    await created(api)
    told = (await api.post("/v1/prompts/port-news/render", json={"variables": {"content": "Late."}})).json()
    assert told == {
        "slug": "port-news",
        "version": 1,
        "label": None,
        "system": "Be brief.",
        "user": "<text>\nLate.\n</text>\nFor Bergen?",
    }
    assert (await api.get("/v1/costs")).json()["totals"]["calls"] == 0


async def test_what_a_prompt_includes_is_taken_over_once(api: httpx.AsyncClient) -> None:
    await created(api, slug="rules", template="Answer in {{ port }}.", variables=NEW["variables"][1:])
    made = await created(api, template='{{ content }}\n{% include "rules" %}')
    await api.put("/v1/prompts/rules", json={"template": "Other rules for {{ port }}."})
    shown = (await api.post("/v1/prompts/port-news/render", json={"variables": {"content": "x"}})).json()
    assert shown["user"].endswith("Answer in Bergen.")
    assert (made["current"]["includes"], made["current"]["template"]) == (
        [{"slug": "rules", "version": 1}],
        '{{ content }}\n{% include "rules" %}',
    )


async def test_an_included_version_says_what_it_said_when_it_was_made(api: httpx.AsyncClient) -> None:
    plain = {"variables": [], "system": None}
    await created(api, slug="rules", template="Be brief.", **plain)
    await created(api, slug="style", template='{% include "rules" %}', **plain)
    await api.put("/v1/prompts/rules", json={"template": "Be long."})
    made = await created(api, template='{% include "style" %} {% include "rules" %}', **plain)
    loop = await api.put("/v1/prompts/rules", json={"template": '{% include "port-news" %}'})
    assert (made["current"]["includes"], made["current"]["expanded"]["template"]) == (
        [{"slug": "style", "version": 1}, {"slug": "rules", "version": 2}],
        "Be brief. Be long.",
    )
    assert (loop.status_code, "rules → port-news → rules" in loop.text) == (422, True)


async def test_a_label_with_weights_gives_a_request_the_same_arm_again(api: httpx.AsyncClient) -> None:
    await created(api)
    await api.put("/v1/prompts/port-news", json={"template": "{{ content }}!"})
    arms = {"label": "production", "weights": {"1": 1, "2": 1}, "why": "compare"}
    told = (await api.post("/v1/prompts/port-news/labels", json=arms)).json()
    found = {}
    for number in range(24):
        for _ in range(2):
            reply = await api.post("/v1/execute-prompt", json=ASK | {"id": f"r{number}"})
            found.setdefault(number, set()).add(reply.json()["output"]["prompt"]["version"])
    assert told["labels"] == {"production": {"1": 1, "2": 1}}
    assert {len(versions) for versions in found.values()} == {1}
    assert set.union(*found.values()) == {1, 2}


async def test_its_calls_are_told_by_version(api: httpx.AsyncClient) -> None:
    await created(api)
    for number in range(3):
        await api.post("/v1/execute-prompt", json=ASK | {"id": f"r{number}"})
    await api.put("/v1/prompts/port-news", json={"template": "{{ content }}!"})
    await api.post("/v1/execute-prompt", json=ASK | {"id": "r9", "variables": {"content": "x"}})
    told = (await api.get("/v1/prompts/port-news/executions")).json()["versions"]
    assert [(each["version"], each["calls"], each["failures"]) for each in told] == [(2, 1, 0), (1, 3, 0)]
    assert float(told[1]["cost_usd"]) > 0


async def test_a_prompts_model_goes_before_the_default_one(api: httpx.AsyncClient) -> None:
    await created(api, preferences={"model": "nope"})
    told = (await api.post("/v1/execute-prompt", json=ASK)).json()
    own = (await api.post("/v1/execute-prompt", json=ASK | {"options": {"model": "fake"}})).json()
    assert (told["status"], told["model"], own["status"], own["model"]) == ("failed", "nope", "succeeded", "fake")


async def test_another_tenants_prompt_is_unknown_unless_it_is_public(api: httpx.AsyncClient) -> None:
    made = await created(api)
    asked = {"variables": ASK["variables"], "tenant": "other"}
    closed = await api.post("/v1/execute-prompt", json=asked | {"prompt": made["id"]})
    seen = await api.get(f"/v1/prompts/{made['id']}?tenant=other")
    await api.put("/v1/prompts/port-news", json={"is_public": True})
    opened_ = await api.post("/v1/execute-prompt", json=asked | {"prompt": made["id"]})
    changed = await api.put(f"/v1/prompts/{made['id']}?tenant=other", json={"name": "mine"})
    assert (closed.status_code, seen.status_code, opened_.status_code, changed.status_code) == (422, 404, 200, 409)


async def test_pages_follow_each_other(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await created(api, slug=f"p{number}", category="many")
    found, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/v1/prompts?category=many&limit=2{cursor and f'&cursor={cursor}'}")).json()
        found += [item["slug"] for item in page["items"]]
        cursor = page["next"]
    assert found == ["p4", "p3", "p2", "p1", "p0"]
    other = (await api.get("/v1/prompts?category=many&limit=2")).json()["next"]
    assert (await api.get(f"/v1/prompts?category=x&cursor={other}")).status_code == 400


async def test_what_another_process_made_is_found_when_it_is_asked_for(tmp_path: Path, api: httpx.AsyncClient) -> None:
    async with opened(web_settings(tmp_path, poll_s=30.0)) as (other, _), client(other) as second:
        await created(second)
        told = await api.post("/v1/execute-prompt", json=ASK)
    assert told.json()["output"]["prompt"]["version"] == 1


async def test_a_move_is_told_to_the_topic(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    from sqlalchemy import select

    from store.tables import outbox

    made = await created(api)
    await moved(api, 1)
    rows = await parts[1].database.read(
        lambda conn: conn.execute(select(outbox).where(outbox.c.topic == "genai.prompts").order_by(outbox.c.pk)).all()
    )
    last = orjson.loads(rows[-1].value)
    assert rows[-1].key == f"{made['id']}|production".encode()
    assert (last["event"], last["before"], last["after"], last["why"]) == ("label_moved", None, {"1": 1}, "better")
    assert await parts[1].database.read(read.revision) > 0


UNUSABLE = [{"name": "port", "type": "text", "default": "Oslo", "choices": ["Bergen"]}]
"""A default that no request could use."""
BAD: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "", NEW | {"slug": "Bad Slug"}, 422, "slug"),
    ("POST", "", NEW, 409, "choose another slug"),
    ("POST", "", NEW | {"slug": "x", "template": "{{ nobody }}"}, 422, "'nobody'"),
    ("POST", "", NEW | {"slug": "x", "template": "{% for a in b %}"}, 422, "template"),
    ("POST", "", NEW | {"slug": "x", "template": "{{ ''.__class__ }}"}, 422, "template"),
    ("POST", "", NEW | {"slug": "x", "template": '{% include "x" %}'}, 422, "includes itself"),
    ("POST", "", NEW | {"slug": "x", "template": '{% include "nope" %}'}, 422, "no prompt 'nope'"),
    ("POST", "", NEW | {"slug": "x", "output_schema": {"type": "nope"}}, 422, "not a JSON Schema"),
    ("POST", "", NEW | {"slug": "x", "colour": "red"}, 422, "colour"),
    ("POST", "", NEW | {"slug": "x", "variables": [{"name": "a", "type": "word"}]}, 422, "variables"),
    ("POST", "", NEW | {"slug": "x", "variables": UNUSABLE}, 422, "`variables.0`: the variable 'port' cannot have"),
    ("PUT", "/port-news", {"variables": [*NEW["variables"], *UNUSABLE]}, 422, "the default 'Oslo': it is none of"),
    ("PUT", "/port-news", {"preferences": {"temperature": 9}}, 422, "preferences"),
    ("PUT", "/nope", {"name": "x"}, 404, "no prompt 'nope'"),
    ("GET", "/port-new", {}, 404, "did you mean 'port-news'?"),
    ("GET", "/port-news/versions/7", {}, 404, "it has 1"),
    ("GET", "/port-news/diff?from=1", {}, 422, "Name both versions"),
    ("POST", "/port-news/labels", {"label": "production", "version": 7, "why": "x"}, 404, "it has 1"),
    ("POST", "/port-news/labels", {"label": "latest", "version": 1, "why": "x"}, 409, "nobody moves it"),
    ("POST", "/port-news/labels", {"label": "production", "version": 1}, 422, "why"),
    ("POST", "/port-news/labels", {"label": "a", "version": 1, "weights": {"1": 1}, "why": "x"}, 409, "either"),
    ("DELETE", "/port-news/labels/nope", {}, 404, "no label 'nope'"),
    ("POST", "/port-news/rollback", {"why": "x"}, 404, "stood nowhere before"),
    ("POST", "/port-news/render", {"variables": {}}, 422, "needs the variable 'content'"),
    ("POST", "/port-news/render", {"variables": {"content": 1}}, 422, "is content, not int"),
    ("POST", "/port-news/render", {"variables": {"content": "x", "port": "Oslo"}}, 422, "is none of 'Bergen', 'Molde'"),
    ("POST", "/port-news/render", {"version": 1, "label": "a", "variables": {}}, 422, "either"),
    ("GET", "?nope=1", {}, 422, "'nope' is not known"),
]


async def test_bad_input_is_told_what_to_do(api: httpx.AsyncClient) -> None:
    await created(api)
    told = []
    for method, path, body, status, words in BAD:
        reply = await api.request(method, f"/v1/prompts{path}", json=body or None)
        if (reply.status_code, words in reply.text) != (status, True):
            told.append((method, path, body, reply.status_code, reply.text))
    assert told == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"version": 3}, "it has 1"),
        ({"label": "staging"}, "no label 'staging'; it has latest"),
        ({"label": "latest", "version": 1}, "either `version` or `label`"),
        ({"variables": {}}, "needs the variable 'content'"),
    ],
)
async def test_a_version_that_is_not_there_is_told_those_that_are(
    api: httpx.AsyncClient, asked: dict[str, Any], words: str
) -> None:
    await created(api)
    reply = await api.post("/v1/execute-prompt", json=ASK | asked)
    assert (reply.status_code, words in reply.text) == (422, True), reply.text
