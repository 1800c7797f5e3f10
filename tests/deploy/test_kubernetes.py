"""The plain manifests: what they name exists, and probes, drains and selectors fit together."""

import re
from typing import Any

import pytest

from streams import serving
from streams import worker_parts as wiring
from streams.settings import Settings
from streams.web.app import make_api, make_small
from streams.web.front import Front
from tests.deploy import served
from tests.deploy.files import DEPLOY, ROOT, commands, documents, settings_named
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

SPINE = documents(DEPLOY / "kubernetes/spine.yaml")
(SCALER,) = documents(DEPLOY / "kubernetes/keda.yaml")
(CONFIG,) = [each["data"] for each in SPINE if each["kind"] == "ConfigMap"]
SECRET = {"GENAI_API_KEY": "key", "GENAI_DATABASE_URL": "postgresql://genai:word@postgres/genai"}
"""What the how-to has in the secret."""
PODS = {each["metadata"]["name"]: each["spec"]["template"] for each in SPINE if each["kind"] == "Deployment"}
BOTH = pytest.mark.parametrize("name", PODS)


def container(name: str) -> dict[str, Any]:
    (found,) = PODS[name]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def settings() -> Settings:
    return make_settings(**settings_named(CONFIG | SECRET))


def test_there_is_a_worker_and_the_api() -> None:
    assert {name: container(name)["args"] for name in PODS} == {
        "genai-spine-worker": ["worker"],
        "genai-spine-web": ["web"],
    }
    assert {"worker", "web"} <= commands()


def test_the_configuration_is_accepted_and_several_nodes_are_understood() -> None:
    assert (len(settings().ollama_nodes()), settings().replication_factor) == (2, 3)


@BOTH
def test_ports_and_probes_are_real(name: str) -> None:
    front = Front(make_settings(), name)
    routes = {route.path for route in (make_api(front) if name.endswith("web") else make_small(front)).routes}  # type: ignore[attr-defined]
    found = container(name)
    port = settings().api_port if name.endswith("web") else settings().worker_port
    assert found["ports"] == [{"name": "http", "containerPort": port}]
    probes = {which: found[which]["httpGet"] for which in ("livenessProbe", "readinessProbe")}
    assert {which: (probe["path"], probe["port"]) for which, probe in probes.items()} == {
        "livenessProbe": ("/health", "http"),
        "readinessProbe": ("/ready", "http"),
    }
    assert {probe["path"] for probe in probes.values()} <= routes


@BOTH
def test_a_pod_is_given_longer_to_end_than_it_takes(name: str) -> None:
    before = container(name).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    longest = before + settings().drain_s + wiring._FAUST_STOP_S + serving._LAST_S
    assert PODS[name]["spec"]["terminationGracePeriodSeconds"] >= longest + 10


@BOTH
def test_it_runs_as_the_image_does_with_nothing_more_than_it_needs(name: str) -> None:
    pod, inside = PODS[name]["spec"]["securityContext"], container(name)["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, 10001)
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@BOTH
def test_services_and_budgets_choose_its_pods(name: str) -> None:
    labels = PODS[name]["metadata"]["labels"]
    chosen = [each["spec"]["selector"] for each in SPINE if each["kind"] == "Service"]
    kept = [each["spec"]["selector"]["matchLabels"] for each in SPINE if each["kind"] == "PodDisruptionBudget"]
    assert (chosen.count(labels), kept.count(labels)) == (1, 1)


def test_the_scaler_asks_for_what_is_served_and_stays_within_the_partitions() -> None:
    spec = SCALER["spec"]
    assert spec["scaleTargetRef"]["name"] in PODS
    assert spec["maxReplicaCount"] <= settings().partitions
    for trigger in spec["triggers"]:
        assert served.problems(trigger["metadata"]["query"], served.labels()) == []
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_the_secret_of_the_how_to_is_the_one_that_is_asked_for() -> None:
    page = (ROOT / "docs/how-to/kubernetes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--from-literal=(\w+)=", page)) == set(SECRET)
    asked = {one["secretRef"]["name"] for name in PODS for one in container(name)["envFrom"] if "secretRef" in one}
    assert asked == set(re.findall(r"kubectl create secret generic (\S+)", page))
