"""The settings of OpenAI and of compatible servers: what is refused at the start, and what providers are made of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from providers.base import Lacking
from providers.calls import ChatCall, Message
from providers.errors import Refused
from providers.openai import CANNOT
from streams import compatible, remote
from streams.cli import _told
from streams.providing import make_providers
from streams.settings import Settings
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

HELLO = ChatCall("m", (Message("user", "hello"),), 1.0)
URL = "http://127.0.0.1:9/v1"
WRONG: list[tuple[str, str]] = [  # what stands in the environment, and what is said of it
    ('{"vllm": {"base_url": "gpu-1:8000"}}', r"GENAI_COMPATIBLE \(vllm\.base_url.*'gpu-1:8000' is no base URL"),
    ('{"vllm": {"base_url": "http://gpu-1/v1?x=1"}}', "is no base URL"),
    ('{"vllm": {"base_url": []}}', r"GENAI_COMPATIBLE \(vllm\.base_url"),
    ('{"vllm": {}}', r"GENAI_COMPATIBLE \(vllm\.base_url\): Field required"),
    (
        f'{{"vllm": {{"base_url": "{URL}"}}, "vllm": {{"base_url": "{URL}"}}}}',
        "GENAI_COMPATIBLE: .*vllm stands there twice",
    ),
    (f'{{"ollama": {{"base_url": "{URL}"}}}}', "GENAI_COMPATIBLE: ollama is already a provider's name"),
    (f'{{"v/llm": {{"base_url": "{URL}"}}}}', "GENAI_COMPATIBLE: .*'v/llm' is no name for a provider"),
    (f'{{"vllm": {{"base_url": "{URL}", "keys": 1}}}}', r"GENAI_COMPATIBLE \(vllm\.keys\)"),
    (f'{{"vllm": {{"base_url": "{URL}", "cannot": ["fly"]}}}}', "`cannot` does not know fly"),
    (f'{{"vllm": {{"base_url": "{URL}", "headers": {{"x": "a\\r\\nb: c"}}}}}}', "'x' is no header"),
    (f'{{"vllm": {{"base_url": "{URL}", "api_key": "a", "api_key_env": "B"}}}}', "either `api_key` or `api_key_env`"),
    (f'{{"vllm": {{"base_url": "{URL}", "style": "azure"}}}}', "`api_version`"),
    (f'{{"vllm": {{"base_url": "{URL}", "slots": 0}}}}', r"GENAI_COMPATIBLE \(vllm\.slots\)"),
    ('{"vllm"', "GENAI_COMPATIBLE: .*this is not JSON"),
    ('["vllm"]', "GENAI_COMPATIBLE: .*dictionary"),
]


@pytest.mark.parametrize(("told", "said"), WRONG)
def test_what_is_wrong_refuses_to_start_and_names_the_setting(
    told: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENAI_COMPATIBLE", told)
    with pytest.raises(Exception) as caught:
        remote.compatible(Settings())
    words, code = _told(caught.value)
    assert (re.search(said, words) is not None, code, "defect" in words) == (True, 1, False), words


def test_a_wrong_address_of_openai_names_its_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENAI_OPENAI_BASE_URL", "api.openai.com")
    with pytest.raises(ValueError, match="openai_base_url") as caught:
        Settings()
    assert "GENAI_OPENAI_BASE_URL" in _told(caught.value)[0]


def test_the_words_of_cannot_are_those_of_the_provider() -> None:
    assert set(compatible._CANNOT) == CANNOT


async def _made(**changes: Any) -> dict[str, Any]:
    return make_providers(make_settings(**changes))


async def test_each_name_is_a_provider_and_each_address_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_KEY", "gsk-secret")
    told = {
        "vllm": {"base_url": ["http://gpu-1:8000/v1", "http://gpu-2:8000/v1/"], "paid": False, "slots": 32},
        "groq": {"base_url": "https://api.groq.example/openai/v1", "api_key_env": "GROQ_KEY", "default_model": "m"},
    }
    made = await _made(compatible=json.dumps(told))
    vllm, groq = made["vllm"], made["groq"]
    assert (vllm.nodes(), vllm.slots("", ""), vllm.traits.paid) == (
        ("http://gpu-1:8000", "http://gpu-2:8000"),
        32,
        False,
    )
    assert (groq.default_model("chat"), groq.default_model("embed"), groq.missing) == ("m", "", "")
    assert groq._headers == {"authorization": "Bearer gsk-secret"}
    assert "gsk-secret" not in repr(make_settings(compatible=json.dumps(told))) + repr(groq._server)


async def test_two_servers_behind_one_host_are_two_nodes() -> None:
    told = {"x": {"base_url": ["http://gpu:1/a/v1", "http://gpu:1/b/v1"]}}
    made = await _made(compatible=json.dumps(told))
    assert made["x"].nodes() == ("http://gpu:1/a/v1", "http://gpu:1/b/v1")


async def test_a_key_may_stand_in_dotenv_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("MISTRAL_KEY=from-the-file\n")
    told = {"mistral": {"base_url": URL, "api_key_env": "MISTRAL_KEY"}}
    made = await _made(compatible=json.dumps(told))
    assert made["mistral"]._headers == {"authorization": "Bearer from-the-file"}


@pytest.mark.parametrize(
    ("name", "changes", "setting"),
    [
        ("openai", {}, "GENAI_OPENAI_API_KEY"),
        (
            "groq",
            {"compatible": json.dumps({"groq": {"base_url": URL, "api_key_env": "NOT_SET_AT_ALL"}})},
            "NOT_SET_AT_ALL",
        ),
    ],
)
async def test_a_provider_without_its_key_is_known_and_refuses_in_a_sentence(
    name: str, changes: dict[str, Any], setting: str
) -> None:
    provider = (await _made(**changes))[name]
    assert isinstance(provider, Lacking)
    assert setting in provider.missing
    assert (await provider.shelf()).away == (provider.missing,)
    for attempt in (provider.chat(HELLO, provider.nodes()[0]), provider.models()):
        with pytest.raises(Refused, match=setting) as caught:
            await attempt
        assert caught.value.maybe_paid is False


async def test_openai_at_another_address_needs_no_key() -> None:
    made = await _made(openai_base_url=URL)
    assert (made["openai"].missing, made["openai"].nodes()) == ("", ("http://127.0.0.1:9",))
