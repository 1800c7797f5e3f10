"""The formats that the double's server speaks, in the order in which they are asked whether a path is theirs."""

from providers.double.anthropic import Anthropic
from providers.double.bedrock import Bedrock
from providers.double.ollama import Ollama
from providers.double.openai import OpenAI
from providers.double.wire import Wire

WIRES: tuple[Wire, ...] = (Anthropic(), Bedrock(), Ollama(), OpenAI())
