"""Alerts and scrape targets: they ask only for what is served, each alert is tried and explained."""

import re
from typing import Any

import pytest

from streams.settings import Settings
from streams.web.app import make_small
from streams.web.front import Front
from tests.deploy import served
from tests.deploy.files import COMPOSE, DEPLOY, ROOT, compose, documents
from tests.deploy.promtool import promtool
from tests.docs.test_reference import rows
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

HERE = DEPLOY / "prometheus"
(RULES,) = documents(HERE / "alerts.yml")
(TRIED,) = documents(HERE / "alerts_test.yml")
(CONFIG,) = documents(HERE / "prometheus.yml")
EVERY: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in EVERY if "alert" in rule}
PAGE = "docs/how-to/answer-alerts.md"


def known() -> dict[str, set[str]]:
    """What is served, and what the rules record."""
    plain = served.labels()
    recorded = {
        rule["record"]: {word for word in ("operation",) if word in rule["expr"]} for rule in EVERY if "record" in rule
    }
    return plain | recorded


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_is_served(rule: dict[str, Any]) -> None:
    assert served.problems(rule["expr"], known()) == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("genai_nothing > 0", ["no metric genai_nothing"]),
        ('rate(genai_calls_total{lane="batch"}[5m])', ["genai_calls_total has no label lane"]),
        ("sum by (tenant) (genai_waiting_requests)", ["nothing to group by tenant"]),
        ("genai_queue_duration_seconds > 0", ["no metric genai_queue_duration_seconds"]),
        ("sum by (le, lane) (rate(genai_queue_duration_seconds_bucket[5m]))", []),
    ],
)
def test_the_test_finds_what_is_not_served(expression: str, found: list[str]) -> None:
    assert served.problems(expression, served.labels()) == found


def test_the_metrics_page_has_the_labels_that_are_counted() -> None:
    said = {cells[0].strip("`"): cells[1] for cells in rows("metrics.md")}
    assert {name: said[name] for name in served.counted()} == {
        name: ", ".join(metric._labelnames) for name, metric in served.counted().items()
    }


def test_every_alert_has_a_severity_a_sentence_and_a_place_in_the_runbook() -> None:
    headings = {line.removeprefix("## ").lower() for line in (ROOT / PAGE).read_text(encoding="utf-8").splitlines()}
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert rule["annotations"]["summary"], name
        assert rule["annotations"]["runbook"] == f"{PAGE}#{name.lower()}"
        assert name.lower() in headings


def test_the_labels_in_a_summary_are_there() -> None:
    for name, rule in ALERTS.items():
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            everything = set().union(*known().values()) | served.SCRAPED
            assert label in everything, name
            assert (
                label in rule["expr"] or not re.search(r"\b(sum|max|min)\b", rule["expr"]) or "genai:" in rule["expr"]
            ), name


def test_every_alert_is_tried_and_fires_there() -> None:
    fired = {case["alertname"] for test in TRIED["tests"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == set(ALERTS)


def test_what_is_tried_is_what_is_served() -> None:
    series = [each["series"] for test in TRIED["tests"] for each in test["input_series"]]
    assert [problem for one in series for problem in served.problems(one, served.labels())] == []


def test_the_targets_are_services_at_their_ports_and_metrics_is_a_route() -> None:
    services = compose(COMPOSE)["services"]
    usual = {"worker": Settings.model_fields["worker_port"].default, "web": Settings.model_fields["api_port"].default}
    found = {
        name: (job["job_name"], found["port"])
        for job in CONFIG["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    assert found == {name: (f"genai-{name}", port) for name, port in usual.items()}
    assert set(found) <= set(services)
    assert "/metrics" in {route.path for route in make_small(Front(make_settings(), "worker")).routes}  # type: ignore[attr-defined]


def test_the_key_and_the_rules_are_where_the_container_has_them() -> None:
    found = compose(COMPOSE)
    service = found["services"]["prometheus"]
    places = {job["authorization"]["credentials_file"] for job in CONFIG["scrape_configs"]}
    assert places == {f"/run/secrets/{name}" for name in service["secrets"]}
    assert found["secrets"]["genai_api_key"] == {"environment": "GENAI_API_KEY"}
    assert "./deploy/prometheus:/etc/prometheus:ro" in service["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in service["command"]
    assert [name for name in CONFIG["rule_files"] if not (HERE / name).exists()] == []


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(EVERY)} rules found" in promtool("check", "rules", HERE / "alerts.yml")


@pytest.mark.dear
def test_promtool_sees_every_alert_fire_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", HERE / "alerts_test.yml")


def test_promtool_accepts_the_configuration() -> None:
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", HERE / "prometheus.yml")
