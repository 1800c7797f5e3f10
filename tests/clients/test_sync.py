"""The client without `await`, in a thread, against the same spine; and what is made is what is kept."""

import asyncio
from pathlib import Path

import pytest

from genai_spine_client import GenAIClient, errors
from scripts import client as made

TEXT = "The ferry Aurora was late on Friday. Fog lay over Bergen."


def test_what_is_shared_is_as_it_is_made() -> None:
    """The models are those of `schemas/`, and what does not await is made from what does."""
    files = made.files()
    kept = {path: path.read_text(encoding="utf-8") for path in files if path.exists()}
    strays = {path for folder in {path.parent for path in files} for path in folder.glob("*.py")} - files.keys()
    assert (kept, strays) == (files, set()), "run `python -m scripts.client`"


def worked(client: GenAIClient, folder: Path) -> None:
    with client:
        assert client.summarize(TEXT, max_sentences=1).output.summary
        with pytest.raises(errors.Failed, match="blank"):
            client.rewrite(" ", tone="plain")
        prompt = client.prompts.create("short", "{{ content }}", variables=[{"name": "content", "type": "content"}])
        assert client.prompts.edit("short", revision=prompt.revision, template="{{ content }}!", notes="!").version == 2
        assert next(item.slug for item in client.prompts.list(q="short")) == "short"
        (folder / "texts.jsonl").write_text('"One."\n"Two."\n')
        run = client.runs.upload("batch_summarize", folder / "texts.jsonl")
        again = client.runs.upload("batch_summarize", iter(["One.", "Two."]))
        assert client.runs.wait(run.run_id, timeout=20).status == "succeeded"
        assert client.runs.wait(again.run_id, timeout=20).result["count"] == 2
        assert [item.index for item in client.runs.results(run.run_id)] == [0, 1]
        assert [each.status for each in client.runs.events(run.run_id)][-1] == "succeeded"
        assert len(list(client.runs.iter_items(run.run_id, limit=1))) == 2
        id_ = client.ask("summarize", {"content": TEXT}).id
        assert [event.event for event in client.requests.events(id_)] == ["result"]
        assert client.requests.get(id_).status == "succeeded"
        assert client.costs().totals.calls == client.usage().totals.calls > 0
        assert client.models().data


async def test_all_of_it_without_await(plain: GenAIClient, tmp_path: Path) -> None:
    await asyncio.to_thread(worked, plain, tmp_path)
