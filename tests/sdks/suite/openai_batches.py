"""Batches with the official client: upload, create, poll, download."""

import json
import time

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture
def client(base_url: str, key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=key)


def lines(count: int) -> bytes:
    made = [
        {
            "custom_id": f"request-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "fake", "messages": [{"role": "user", "content": f"Where is ferry {n}?"}]},
        }
        for n in range(count)
    ]
    made[-1]["body"] = {"model": "fake", "messages": [{"role": "user", "content": "x"}], "temperature": 9}
    return "\n".join(map(json.dumps, made)).encode()


def polled(client: OpenAI, id_: str) -> Batch:
    for _ in range(300):
        batch = client.batches.retrieve(id_)
        if batch.status in ENDED:
            return batch
        time.sleep(0.1)
    raise AssertionError(batch)


def test_upload_create_poll_download(client: OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", lines(12)), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"of": "me"}
    )
    batch = polled(client, made.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (12, 11, 1)
    assert batch.output_file_id
    assert batch.error_file_id
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    errors = [json.loads(line) for line in client.files.content(batch.error_file_id).iter_lines() if line]
    assert [each["custom_id"] for each in answers] == [f"request-{n}" for n in range(11)]
    assert all(each["response"]["body"]["choices"][0]["message"]["content"] for each in answers)
    assert [(each["custom_id"], each["response"]["status_code"]) for each in errors] == [("request-11", 400)]
    assert made.id in [each.id for each in client.batches.list(limit=1)]
    assert file.id in [each.id for each in client.files.list(purpose="batch")]
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_broken_line_stands_in_the_error_file_and_the_others_are_answered(client: OpenAI) -> None:
    told = [*lines(3).splitlines()[:2], b"{", *lines(1).replace(b"request-0", b"request-1").splitlines()]
    file = client.files.create(file=("in.jsonl", b"\n".join(told)), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    batch = polled(client, made.id)
    assert (batch.status, batch.errors) == ("completed", None)
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (4, 2, 2)
    assert batch.error_file_id
    errors = [json.loads(line) for line in client.files.content(batch.error_file_id).iter_lines() if line]
    assert [(each["custom_id"], each["response"], each["error"]["code"]) for each in errors] == [
        (None, None, "invalid_json_line"),
        ("request-1", None, "duplicate_custom_id"),
    ]


def test_a_batch_is_cancelled_and_a_wrong_file_fails(client: OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", lines(400)), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(made.id).status in ("cancelling", "cancelled")
    assert polled(client, made.id).status == "cancelled"
    wrong = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    assert wrong.status == "failed"
    assert wrong.errors is not None
    assert wrong.errors.data
    assert wrong.errors.data[0].code == "mismatched_endpoint"
