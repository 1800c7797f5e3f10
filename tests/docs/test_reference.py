"""The reference pages say what the program is, no more and no less."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client import CollectorRegistry

from agents import OPERATIONS
from agents.engine.metrics import Metrics
from providers import PROVIDERS
from schemas.errors import ErrorType
from streams import cli, topics
from streams.errors import Exit
from streams.jobs.metering import Meters as JobMeters
from streams.runs.metering import Meters
from streams.schedules.metering import Meters as ScheduleMeters
from streams.settings import Settings
from streams.web.problems import STATUS

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "examples").rglob("*.py"),
    ]
    if "node_modules" not in path.parts
)


def rows(page: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("| `")]


def shown(default: object) -> str:
    return "not set" if default is None else '`""`' if default == "" else f"`{default}`"


def test_the_settings_page_names_exactly_the_settings_with_their_defaults() -> None:
    said = {cells[0].strip("`"): cells[1] for cells in rows("settings.md")}
    assert said == {f"GENAI_{name.upper()}": shown(field.default) for name, field in Settings.model_fields.items()}


def commands(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name; Typer brings a Click of its own, so kinds are told by what they have."""
    if hasattr(command, "commands"):
        if command.invoke_without_command and names:
            yield " ".join(("genai-spine", *names)), command
        for name, below in command.commands.items():
            yield from commands(below, *names, name)
    else:
        yield " ".join(("genai-spine", *names)), command


def test_the_cli_page_has_exactly_the_commands() -> None:
    said = re.findall(r"^### `(.+)`$", (REFERENCE / "cli.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(said) == sorted(name for name, _ in commands(typer.main.get_command(cli.app)))


def test_the_cli_page_names_every_option() -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(.+?)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    missing = {
        (name, option)
        for name, command in commands(typer.main.get_command(cli.app))
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden
        for option in parameter.opts
        if option.startswith("--") and option != "--help" and option not in sections[name]
    }
    assert missing == set()


def test_the_cli_page_has_exactly_the_exit_codes() -> None:
    said = {int(cells[0].strip("`")) for cells in rows("cli.md")}
    assert said == {int(code) for code in Exit}


def test_no_command_ends_with_another_code() -> None:
    """The supervised child's own is between it and its supervisor."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "streams").rglob("*.py")]
    used = {int(code) for text in texts for code in re.findall(r"(?:exit_code ?=|typer\.Exit\() ?(\d+)", text)}
    assert used - {int(code) for code in Exit} == set()


@pytest.mark.parametrize(("name", "command"), list(commands(typer.main.get_command(cli.app))), ids=str)
def test_every_command_shows_an_example_of_itself(name: str, command: Any) -> None:
    assert re.search(rf"Example: `?[A-Z_a-z=:0-9 ]*{re.escape(name)}\b", command.help or "")


def metric_names() -> set[str]:
    """Those that the engine, runs, schedules and jobs count, and those that are looked up when they are asked for."""
    registry = CollectorRegistry()
    Metrics(registry)
    Meters(registry)
    ScheduleMeters(registry)
    JobMeters(registry)
    counted = {f"{found.name}_total" if found.type == "counter" else found.name for found in registry.collect()}
    looked_up = set(re.findall(r'"(genai_[a-z_]+)"', (ROOT / "streams/web/metrics.py").read_text(encoding="utf-8")))
    return counted | looked_up


def test_the_metrics_page_names_exactly_the_metrics() -> None:
    assert {cells[0].strip("`") for cells in rows("metrics.md")} == metric_names()


def test_the_contract_names_every_error_type_with_its_http_status() -> None:
    known = {str(word) for word in ErrorType}
    said = {cells[0].strip("`"): cells[1] for cells in rows("contract.md") if cells[0].strip("`") in known}
    assert said == {word: str(STATUS[word]) for word in known}


def test_the_contract_names_every_operation_with_its_input() -> None:
    said = {cells[0].strip("`"): cells[1] for cells in rows("contract.md") if cells[0].strip("`") in OPERATIONS}
    assert set(said) == set(OPERATIONS)
    missing = {
        (name, field.alias or key)
        for name, operation in OPERATIONS.items()
        for key, field in operation.input.model_fields.items()
        if f"`{field.alias or key}`" not in said[name]
    }
    assert missing == set()


def test_the_contract_names_every_topic() -> None:
    text = (REFERENCE / "contract.md").read_text(encoding="utf-8")
    names = {
        topics.RESULTS,
        topics.USAGE,
        topics.COSTS,
        topics.RUNS,
        topics.REPLAYS,
        topics.CONTROL,
        topics.DLQ,
        f"{topics.REQUESTS}<operation>",
    }
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_life_of_a_request_names_only_rules_and_tests_that_exist() -> None:
    page = (ROOT / "docs/explanation/life-of-a-request.md").read_text(encoding="utf-8")
    walked_by = [line.split("|")[3] for line in page.splitlines() if line.startswith("|") and "---" not in line][1:]
    named = {name for cell in walked_by for name in re.findall(r"`([a-z_]+)", cell)}
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert {name for name in named if name not in there and f"def {name}" not in tests} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_holds_a_path_of_somebodys_machine(page: Path) -> None:
    found = re.findall(
        r"(?:^|[\s\"'`(=])(/(?:home|root|work|Users|tmp|var|opt|mnt)/\S*|[A-Z]:\\\S+)", page.read_text(encoding="utf-8")
    )
    assert found == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.suffix == ".md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_the_code_that_the_way_over_shows_stands_in_the_examples() -> None:
    page = (ROOT / "docs/how-to/come-from-a-loop.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py")]
    lines = {line.strip() for source in sources for line in source.splitlines()}
    after = [
        code
        for before, code in re.findall(r"\n(\S[^\n]*)\n\n```python\n(.*?)```", page, re.DOTALL)
        if "efore," not in before
    ]
    assert len(after) == 4
    assert [line for code in after for line in code.splitlines() if line.strip() and line.strip() not in lines] == []


def test_the_index_names_every_page() -> None:
    docs = ROOT / "docs"
    named = set(re.findall(r"\]\(([^)#\s]+)\)", (docs / "README.md").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    single = {page for page in pages if not page.startswith("decisions/") or page == "decisions/README.md"}
    assert single - {"README.md"} - named == set(), "add them to docs/README.md, under the kind that they are"


def test_every_provider_has_its_column_and_its_section() -> None:
    text = (REFERENCE / "providers.md").read_text(encoding="utf-8")
    header, _, *lines = [line for line in text.splitlines() if line.startswith("|")]
    columns = [cell.strip(" `") for cell in header.split("|")[2:-1]]
    assert sorted(columns) == sorted([*PROVIDERS, "compatible"])
    table = [line for line in lines[:20] if line.count("|") == len(columns) + 2]
    assert len(table) > 5 and all(cell.strip() for line in table for cell in line.split("|")[1:-1])
    assert set(re.findall(r"^## `(\w+)`$", text, re.MULTILINE)) == set(PROVIDERS)
