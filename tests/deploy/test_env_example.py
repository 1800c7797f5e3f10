"""`.env.example` lists every setting, changes nothing as it is, and knows what the compose files ask for."""

import re
from pathlib import Path

import pytest

from scripts import env_example
from streams.settings import Settings
from tests.deploy.files import COMPOSE, COMPOSE_DEV, ROOT, variables
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

TEXT = (ROOT / ".env.example").read_text(encoding="utf-8")
LISTED = dict(re.findall(r"^#(\w+)=(.*)$", TEXT, re.MULTILINE))


def test_it_is_what_the_settings_and_their_page_say() -> None:
    assert env_example.text() == TEXT, "run `python -m scripts.env_example`"


def test_it_lists_every_setting() -> None:
    assert {name for name in LISTED if name.startswith("GENAI_")} == {
        f"GENAI_{name.upper()}" for name in Settings.model_fields
    }


def test_every_line_has_a_sentence_above() -> None:
    assert re.findall(r"^(?!# \S.*\.$).*\n#\w+=", TEXT, re.MULTILINE) == []


def test_with_every_line_in_force_it_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LISTED:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".env"
    file.write_text(re.sub(r"^#(?=\w+=)", "", TEXT, flags=re.MULTILINE), encoding="utf-8")
    assert Settings(_env_file=file) == make_settings()  # type: ignore[call-arg]


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GENAI_API_KEY=\n", encoding="utf-8")
    assert Settings(_env_file=file).api_key is None  # type: ignore[call-arg]


def test_it_knows_what_the_compose_files_ask_for() -> None:
    asked = variables(COMPOSE)
    others = {name: how for name, how in asked.items() if not name.startswith("GENAI_")}
    assert {name: default for name, (default, _) in env_example.COMPOSE.items()} == {
        name: "".join(how - {"?"}) for name, how in others.items()
    }
    assert set(variables(COMPOSE_DEV)) | {name for name in asked if name.startswith("GENAI_")} <= set(LISTED)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/how-to/deploy-with-compose.md",
        "docs/how-to/kubernetes.md",
        "docs/how-to/answer-alerts.md",
        "docs/explanation/capacity.md",
    ],
)
def test_a_page_about_deployment_names_only_variables_that_there_are(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:GENAI|SPINE|POSTGRES|GRAFANA|PROMETHEUS|KAFKA)_[A-Z_]+[A-Z]\b", text))
    assert named - set(LISTED) == set()
