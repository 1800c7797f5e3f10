"""What the providers are told: typed values; `streams/settings.py` read them."""

from dataclasses import dataclass, field

from providers.double.faults import Behaviour
from providers.outbound import NOTHING, Listed


@dataclass(frozen=True, slots=True)
class Config:
    """Every provider's settings in one value; a factory reads its own part.

    `ollama_num_ctx`: sent with every call, because another one makes Ollama load the model again.
    `ollama_loaded`: models that a node holds at a time (its OLLAMA_MAX_LOADED_MODELS); 0: any number.
    `local_threads`: 0 means all cores but one; two threads that share their cores with others collapse to 2 tokens/s.
    `outbound`: addresses that are reached although they are private, link-local or otherwise special.
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
    fake_url: str | None = None
    fake_slots: int = 4
    fake_paid: bool = True
    outbound: Listed = NOTHING
    fake: Behaviour = field(default_factory=Behaviour)
