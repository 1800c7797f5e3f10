"""The dashboard asks only for what is served, shows what an operator looks for, and is where Grafana looks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import served
from tests.deploy.files import COMPOSE, DEPLOY, METRIC, compose, documents
from tests.deploy.promtool import promtool

pytestmark = pytest.mark.fast

HERE = DEPLOY / "grafana"
DASHBOARD: dict[str, Any] = json.loads((HERE / "dashboards/genai-spine.json").read_text(encoding="utf-8"))
(SOURCE,) = documents(HERE / "provisioning/datasources/prometheus.yml")[0]["datasources"]
(PROVIDER,) = documents(HERE / "provisioning/dashboards/genai-spine.yml")[0]["providers"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SHOWN = {
    "lanes": {"genai_waiting_requests", "genai_oldest_waiting_seconds", "genai_lane_held"},
    "lag": {"genai_lag_records"},
    "slots": {"genai_slots_used", "genai_slots_total", "genai_slots_busy"},
    "tokens": {"genai_tokens_total"},
    "dollars": {"genai_cost_usd_total"},
    "errors": {
        "genai_errors_total",
        "genai_retries_total",
        "genai_ambiguous_calls_total",
        "genai_unpriced_calls_total",
    },
    "state": {"genai_up", "genai_ledger_ok", "genai_relay_ok", "genai_outbox_records"},
}


def expressions() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_panel_asks_for_what_is_served(title: str, expression: str) -> None:
    assert served.problems(expression, served.labels()) == [], title


def test_the_legends_name_labels_that_come_out() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in target["expr"] or label in served.SCRAPED, panel["title"]


def test_variables_are_declared_and_ask_for_what_is_served() -> None:
    declared = {each["name"]: each["definition"] for each in DASHBOARD["templating"]["list"]}
    used = {
        name
        for _, expression in expressions()
        for name in re.findall(r"\$(\w+)", expression)
        if not name.startswith("__")
    }
    assert used == set(declared)
    for definition in declared.values():
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", definition).groups()  # type: ignore[union-attr]
        assert label in served.labels()[metric]


@pytest.mark.parametrize("subject", SHOWN)
def test_it_shows(subject: str) -> None:
    asked = {name for _, expression in expressions() for name in METRIC.findall(expression)}
    assert SHOWN[subject] - asked == set()


def test_every_panel_reads_the_provisioned_source_and_none_covers_another() -> None:
    sources = {panel["datasource"]["uid"] for panel in PANELS} | {
        target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]
    }
    assert sources == {SOURCE["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert (len(cells), max(x for x, _ in cells)) == (len(set(cells)), 23)


def test_the_container_finds_source_and_dashboard() -> None:
    services = compose(COMPOSE)["services"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert SOURCE["url"] == "http://prometheus:9090"
    assert [port for port in services["prometheus"]["ports"] if port.endswith(":9090")]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounts["./deploy/grafana/dashboards"] == PROVIDER["options"]["path"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (HERE / "dashboards" / home.removeprefix(PROVIDER["options"]["path"] + "/")).exists()


def test_promtool_can_parse_every_panel(tmp_path: Path) -> None:
    plain = [re.sub(r"\$__(rate_interval|range)", "5m", expression) for _, expression in expressions()]
    rules = [{"record": f"panel:{number}:x", "expr": expression} for number, expression in enumerate(plain)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
