"""What the other tests here take for served is what a process really serves, name by name and label by label."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.deploy import served
from tests.streams.webs import client, opened, web_settings

WORKERS_ONLY = {
    "genai_lag_records",
    "genai_lane_held",
    "genai_lane_taken",
    "genai_relay_ok",
    "genai_relay_published",
}


async def test_a_process_serves_just_these_with_these_labels(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        for content in ("One.", "Two. [fake:refused]"):
            await api.post("/v1/summarize", json={"content": content})
        told = (await api.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(told) for sample in family.samples]
    found = {each.name: set(each.labels) for each in samples if not each.name.endswith("_created")}
    known = served.labels()
    assert {name: known.get(name) for name in found} == found
    # a series without labels is there from the start, one with labels from its first value
    assert {name for name, labels in known.items() if not labels} - WORKERS_ONLY <= set(found)
    assert {"genai_requests_total", "genai_errors_total", "genai_tokens_total", "genai_slots_used"} <= set(found)
