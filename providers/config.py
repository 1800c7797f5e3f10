"""What the providers are told: typed values; `streams/settings.py` read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from providers.double.faults import Behaviour
from providers.outbound import NOTHING, Listed
from providers.tagging import HERE, Tags


@dataclass(frozen=True, slots=True)
class Server:
    """Servers under one name that speak OpenAI's format, each of `urls` (with their `/v1`) a node of its own.

    `setting`: what holds the key. `missing`: why it cannot be called yet, and what to set; empty: nothing is missing.
    `style`: `openai` is OpenAI itself, `azure` has its models in the path, as deployments. `cannot`: what its servers do not
    do, in OpenAI's words. `context_tokens`: what its chat models read and write at most; None: it varies, or nobody said.
    """

    name: str
    urls: tuple[str, ...]
    key: str = field(default="", repr=False)
    setting: str = "its key"
    missing: str = ""
    slots: int = 8
    paid: bool = True
    chat_model: str = ""
    embed_model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    style: Literal["openai", "azure", "compatible"] = "compatible"
    api_version: str = ""
    cannot: frozenset[str] = frozenset()
    context_tokens: int | None = None


NO_OPENAI = "There is no key for OpenAI: set GENAI_OPENAI_API_KEY."
OPENAI = Server(
    "openai",
    ("https://api.openai.com/v1",),
    setting="GENAI_OPENAI_API_KEY",
    missing=NO_OPENAI,
    chat_model="gpt-4.1-mini",
    embed_model="text-embedding-3-small",
    style="openai",
)


@dataclass(frozen=True, slots=True)
class Config:
    """Every provider's settings in one value; a factory reads its own part.

    `ollama_num_ctx`: sent with every call, because another one makes Ollama load the model again.
    `ollama_loaded`: models that a node holds at a time (its OLLAMA_MAX_LOADED_MODELS); 0: any number.
    `local_threads`: 0 means all cores but one; two threads that share their cores with others collapse to 2 tokens/s.
    `anthropic_key` None: none is needed but at Anthropic's own address.
    `bedrock_region` None: Bedrock is not set up. `bedrock_url` None: AWS's own addresses there. `bedrock_key`: a Bedrock API key;
    None: the usual chain of AWS credentials.
    `outbound`: addresses that are reached although they are private, link-local or otherwise special.
    `tags`: which servers are told our requests' ids.
    `fake_url`: the address of `genai-spine fake-provider`; None: the double in this process.
    """

    ollama_urls: tuple[str, ...] = ("http://127.0.0.1:11434",)
    ollama_slots: int = 1
    ollama_num_ctx: int = 8192
    ollama_keep_alive: str = "30m"
    ollama_loaded: int = 3
    ollama_gather_s: float = 2.0
    ollama_gpu_nodes: tuple[str, ...] = ()
    ollama_chat_model: str = "llama3.2:latest"
    ollama_embed_model: str = "nomic-embed-text:latest"
    local_slots: int = 1
    local_threads: int = 0
    anthropic_key: str | None = field(default=None, repr=False)
    anthropic_url: str = "https://api.anthropic.com"
    anthropic_slots: int = 16
    anthropic_chat_model: str = "claude-haiku-5-5"
    bedrock_region: str | None = None
    bedrock_url: str | None = None
    bedrock_key: str | None = field(default=None, repr=False)
    bedrock_slots: int = 8
    bedrock_chat_model: str = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    bedrock_embed_model: str = "amazon.titan-embed-text-v2:0"
    fake_url: str | None = None
    fake_slots: int = 4
    fake_paid: bool = True
    outbound: Listed = NOTHING
    tags: Tags = HERE
    fake: Behaviour = field(default_factory=Behaviour)
    openai: Server = OPENAI
