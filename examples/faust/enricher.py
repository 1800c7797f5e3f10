"""A Faust app that asks GenAI Spine instead of calling a model: one agent asks, one joins, none of them waits for an LLM.

    SILVER_BROKERS=127.0.0.1:9092 faust -A enricher worker --without-web

Reads `feed.clean` (JSON with `key` and `text`), writes `feed.silver`.
"""

import hashlib
import os

import faust

TENANT = "faust-example"

app = faust.App("silver", broker=f"kafka://{os.environ.get('SILVER_BROKERS', '127.0.0.1:9092')}", topic_partitions=4)
clean = app.topic("feed.clean", key_type=bytes, key_serializer="raw", value_serializer="json")
silver = app.topic("feed.silver", key_type=bytes, key_serializer="raw", value_serializer="json")
requests = app.topic("genai.requests.summarize", key_type=bytes, key_serializer="raw", value_serializer="json")
results = app.topic("genai.results", key_type=bytes, key_serializer="raw", value_serializer="json")


@app.agent(clean)
async def ask(items: faust.StreamT) -> None:
    """An item delivered twice asks for the same request, which is run and paid once."""
    async for item in items:
        digest = hashlib.sha256(item["text"].encode()).hexdigest()[:12]
        request = {
            "id": f"{item['key']}@{digest}",
            "tenant": TENANT,
            "input": {"content": item["text"], "max_sentences": 1},
            "metadata": {"item": item},
        }
        await requests.send(key=item["key"].encode(), value=request)


@app.agent(results)
async def join(found: faust.StreamT) -> None:
    """The metadata comes back untouched, so the item is there without a lookup. A failure is a result too."""
    async for result in found:
        if result["tenant"] != TENANT:
            continue
        item = result["metadata"]["item"]
        summary = (result["output"] or {}).get("summary")
        told = {"summary": summary, "error": result["error"], "generation": result["generation"]}
        await silver.send(key=item["key"].encode(), value=item | told)
