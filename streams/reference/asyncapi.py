"""AsyncAPI 3.0 of the topics: channels from the table of topics, messages from the models, examples from the sample."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import orjson

from schemas import Lane
from streams import topics
from streams.decode import STAND_INS
from streams.reference import words
from streams.settings import Settings

VERSION = "1"
"""Of the contract: names are added and never renamed."""
_BINDING = "0.5.0"
_ABOUT = """\
Plain JSON in UTF-8, without a schema-registry prefix. Identity is (tenant, operation, id). A result comes back under its
request's key, byte for byte, in the partition of the same number. Results are at-least-once: fold by (tenant, operation,
id), the highest generation wins. Fold usage by `id`. Partition counts and limits are the defaults of the settings."""

Node = dict[str, Any]


def document(operations: words.Table) -> Node:
    """The whole document."""
    rows = topics.table(Settings.model_construct(), operations)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "GenAI Spine", "version": VERSION, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "servers": {
            "embedded": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "What `genai-spine up` starts; elsewhere the brokers of `GENAI_KAFKA_BROKERS`.",
            }
        },
        "channels": {_short(topic.name): _channel(topic) for topic in rows},
        "operations": dict(_operation(topic.name) for topic in rows),
        "components": {
            "schemas": words.together(operations, "#/components/schemas/{model}"),
            "messages": {**{f"request.{name}": _asked(name) for name in operations}, **_told()},
        },
    }


def _short(topic: str) -> str:
    return topic.removeprefix("genai.")


def _message(topic: str) -> str:
    """Which message a channel carries."""
    if topic.startswith(topics.REQUESTS):
        return f"request.{topics.parse_request_topic(topic)[0]}"
    return {
        topics.RESULTS: "result",
        topics.USAGE: "usage",
        topics.COSTS: "costs-daily",
        topics.CONTROL: "cancel",
        topics.RUNS: "progress",
        topics.PROMPTS: "prompt",
        topics.REPLAYS: "replay",
        topics.DLQ: "dead-letter",
    }[topic]


def _channel(topic: topics.Topic) -> Node:
    message = _message(topic.name)
    return {
        "address": topic.name,
        "description": _meaning(topic.name),
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "topicConfiguration": _configured(topic),
                "bindingVersion": _BINDING,
            }
        },
    }


def _configured(topic: topics.Topic) -> Node:
    """The settings that the binding has a word for."""
    numbers = {name: int(topic.config[name]) for name in ("retention.ms", "max.message.bytes") if name in topic.config}
    return {"cleanup.policy": topic.config["cleanup.policy"].split(","), **numbers}


def _meaning(topic: str) -> str:
    if topic.startswith(topics.REQUESTS):
        operation, lane = topics.parse_request_topic(topic)
        how = {Lane.REALTIME: "urgent", Lane.NORMAL: "usual", Lane.BATCH: "patient"}[lane]
        return f"Requests to {operation}, on the {how} lane. The key is the producer's own, or null."
    return {
        topics.RESULTS: "One terminal result per request and generation. The key is the request's, or its id when it had none.",
        topics.USAGE: "One event per provider call that cost anything or returned.",
        topics.COSTS: "Running totals of a UTC day; the last value of a key counts.",
        topics.RUNS: "How far runs are; with `GENAI_PROGRESS_TOPIC` also how far long calls are.",
        topics.PROMPTS: "What the registry's labels stand for, and its versions; the last value of a key counts.",
        topics.REPLAYS: "Answers of requests that `genai-spine replay --anew` asked again; none of them goes to results.",
        topics.CONTROL: "Cancels, applied in their order.",
        topics.DLQ: "Records that failed and that another try, or a person, may mend: untouched, the reason in the headers.",
    }[topic]


def _operation(topic: str) -> tuple[str, Node]:
    """As seen by GenAI Spine: it receives requests and cancels, and sends the rest."""
    short = _short(topic)
    channel = {"$ref": f"#/channels/{short}"}
    message = {"$ref": f"#/channels/{short}/messages/{_message(topic)}"}
    received = topic.startswith(topics.REQUESTS) or topic == topics.CONTROL
    said: Node = {"action": "receive" if received else "send", "channel": channel, "messages": [message]}
    if topic.startswith(topics.REQUESTS):
        results = f"#/channels/{_short(topics.RESULTS)}"
        said["reply"] = {"channel": {"$ref": results}, "messages": [{"$ref": f"{results}/messages/result"}]}
    return f"{'receive' if received else 'send'}.{short}", said


def _asked(operation: str) -> Node:
    """A request, with one of the shipped sample as its example where there is one."""
    made: Node = {
        "title": f"A request to {operation}",
        "correlationId": {"location": "$message.payload#/id"},
        "headers": {
            "type": "object",
            "properties": {name: _text(f"Stands in for `{field}`.") for name, field in STAND_INS.items()}
            | {"traceparent": _text("Comes back with the result, as every header does.")},
        },
        "payload": {"$ref": f"#/components/schemas/{words.title(operation)}Request"},
        "bindings": _key("The producer's own ordering and join key, or null."),
    }
    example = next(_examples(operation), None)
    return made if example is None else made | {"examples": [{"name": "sample", "payload": example}]}


def _examples(operation: str) -> Iterator[Node]:
    sample = files("streams").joinpath("sample/feedspine.jsonl").read_text(encoding="utf-8")
    for line in sample.splitlines():
        fields = orjson.loads(line)
        if fields.pop("operation") == operation:
            yield fields


def _told() -> dict[str, Node]:
    """Everything but requests."""
    return {
        **_answered(),
        "prompt": {
            "title": "A change of the registry of prompts",
            "payload": {
                "oneOf": [{"$ref": "#/components/schemas/LabelMoved"}, {"$ref": "#/components/schemas/VersionMade"}]
            },
            "bindings": _key("`prompt id|label`, or `prompt id|version`."),
        },
        **_counted(),
        "progress": {
            "title": "How far a run is, or a long call",
            "payload": {"oneOf": [{"$ref": "#/components/schemas/Run"}, {"$ref": "#/components/schemas/Progress"}]},
            "bindings": _key("The run's id, or the request's when it has none."),
        },
        "cancel": {
            "title": "A cancel",
            "payload": {"$ref": "#/components/schemas/Cancel"},
            "bindings": _key("The request's id, or the run's."),
            "examples": [
                {
                    "name": "request",
                    "payload": {"action": "cancel", "tenant": "feedspine", "operation": "summarize", "id": "feed-42/7"},
                },
                {"name": "run", "payload": {"action": "cancel", "tenant": "feedspine", "run_id": "nightly"}},
            ],
        },
        "dead-letter": {
            "title": "A dead letter",
            "contentType": "application/octet-stream",
            "headers": {"$ref": "#/components/schemas/LetterHeaders"},
            "payload": {"description": "The original value, untouched; no JSON where that was the fault."},
            "bindings": _key("The original key; its source for a record of neither key nor value."),
        },
    }


def _answered() -> dict[str, Node]:
    return {
        "result": {
            "title": "A result",
            "correlationId": {"location": "$message.payload#/id"},
            "headers": {"type": "object", "description": "Those of the request."},
            "payload": {"$ref": "#/components/schemas/Result"},
            "bindings": _key("The request's key, byte for byte; the request's id when it had none."),
        },
        "replay": {
            "title": "An answer to a request asked anew",
            "correlationId": {"location": "$message.payload#/id"},
            "headers": {"type": "object", "description": "Those of the original request."},
            "payload": {
                "description": "A result whose `run_id` is the replay's run, and whose `id` is the run, a slash and the "
                "original's id.",
                "allOf": [{"$ref": "#/components/schemas/Result"}],
            },
            "bindings": _key("The original's key; its id when it had none."),
        },
    }


def _counted() -> dict[str, Node]:
    numbered = {
        "genai-ledger": _text("The name of the database that counted it."),
        "genai-number": _text("Its place in its partition, without gaps and in order."),
        "genai-replayed": _text("`true`: published before, under the same `id`; without a place of its own."),
        "genai-totals": _text(
            "With `genai-replayed`: the totals of the event's day, provider, model and tenant as JSON, with all events of its "
            "partition up to `genai-number`."
        ),
    }
    return {
        "usage": {
            "title": "What one call used",
            "headers": {"type": "object", "properties": numbered},
            "payload": {"$ref": "#/components/schemas/UsageEvent"},
            "bindings": _key("`provider|model`"),
        },
        "costs-daily": {
            "title": "A day's running totals",
            "payload": {"$ref": "#/components/schemas/DailyTotals"},
            "bindings": _key("`date|provider|model|tenant`"),
        },
    }


def _text(description: str) -> Node:
    return {"type": "string", "description": description}


def _key(description: str) -> Node:
    return {"kafka": {"key": _text(description), "bindingVersion": _BINDING}}
