"""Schemathesis over the API's whole description: every operation, every answer held against what is said of it.

Which fields go together a description cannot say, so that what it allows may still be refused; but in the form that it says.
"""

import json
import re
from pathlib import Path
from typing import Any

import httpx

MODELS = {
    "/v1/chat/completions": "fake",
    "/v1/completions": "fake",
    "/v1/embeddings": "fake-embed",
    "/v1/moderations": "fake",
    "/v1/responses": "fake",
    "/v1/messages": "fake",
}
"""A model for each that calls one: one that nobody has would be all that was ever tried."""
LIKE_OTHERS = "^/v1/(extract|classify|compare|rewrite|complete|execute_prompt|embed|moderate|completions)$"
"""Their bodies are read as those of `/v1/summarize` and `/v1/chat/completions` are."""

GOOD = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]\n'
"""What is asked with a deadline that has passed is expired, which is 504."""


async def command(python: Path, url: str, folder: Path, key: str, random: int = 0) -> list[str]:
    """How it is run, in this folder. `random`: so many bodies made up for each operation, and nothing left out."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as api:
        document = (await api.get("/openapi.json")).json()
        _name(document, await _made(api, document))
    (folder / "openapi.json").write_text(json.dumps(document))
    leaving_out = f"[[operations]]\ninclude-path-regex = '{LIKE_OTHERS}'\nphases.coverage.enabled = false\n"
    (folder / "schemathesis.toml").write_text(GOOD if random else GOOD + leaving_out)
    phases = f"examples,coverage,fuzzing --max-examples {random}" if random else "examples,coverage"
    told = f"--config-file schemathesis.toml run openapi.json --url {url} --phases {phases} --request-timeout 20"
    told += " --exclude-checks positive_data_acceptance --generation-deterministic --continue-on-failure --no-color"
    return [str(python), "-m", "schemathesis.cli", *told.split(), "-H", f"Authorization: Bearer {key}"]


def all_tried(out: str) -> bool:
    """Whether it says that no operation was left out."""
    return re.search(r"Selected: (\d+)/\1\n +Tested: \1\n", out) is not None


async def _made(api: httpx.AsyncClient, document: dict[str, Any]) -> dict[str, str]:
    """Things that there are, by the name that they have in paths; what is deleted meanwhile was looked at before."""

    async def sent(method: str, path: str, at: str = "", **more: Any) -> dict[str, Any]:
        content = document["paths"][path][method]["requestBody"]["content"].get("application/json")
        reply = await api.request(method, at or path, **(more or {"json": content["example"]}))
        assert reply.is_success, reply.text
        return dict(reply.json())

    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "fake-embed", "input": "x"}}
    upload = {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", json.dumps(line).encode())}}
    file = await sent("post", "/v1/files", **upload)
    batch = {"input_file_id": file["id"], "endpoint": "/v1/embeddings", "completion_window": "24h"}
    schedule = document["paths"]["/v1/schedules/{schedule}"]["put"]["requestBody"]["content"]["application/json"]
    await sent("put", "/v1/schedules/{schedule}", "/v1/schedules/nightly", json=schedule["example"])
    asked = document["paths"]["/v1/responses"]["post"]["requestBody"]["content"]["application/json"]["example"]
    return {
        "prompt": (await sent("post", "/v1/prompts"))["slug"],
        "version": "1",
        "label": "latest",
        "run_id": (await sent("post", "/v1/runs"))["run_id"],
        "request_id": (await sent("post", "/v1/summarize"))["id"],
        "key_id": (await sent("post", "/v1/keys"))["id"],
        "budget": str((await sent("put", "/v1/budgets"))["id"]),
        "file_id": file["id"],
        "batch_id": (await sent("post", "/v1/batches", json=batch))["id"],
        "response_id": (await sent("post", "/v1/responses", json=asked | {"model": "fake"}))["id"],
        "pipeline": "digest",
        "schedule": "nightly",
        "model": "fake/fake",
    }


def _name(document: dict[str, Any], known: dict[str, str]) -> None:
    for path, model in MODELS.items():
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        content["schema"]["properties"]["model"] = {"const": model}
        content["example"]["model"] = model
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["example"] = known[parameter["name"]]
