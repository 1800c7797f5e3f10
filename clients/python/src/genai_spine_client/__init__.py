"""Ask GenAI Spine: over HTTP with `GenAIClient` and `AsyncGenAIClient`, over Kafka with `genai_spine_client.kafka`."""

from genai_spine_client import errors
from genai_spine_client._async.client import AsyncGenAIClient
from genai_spine_client._sync.client import GenAIClient
from genai_spine_client.answers import Answer
from genai_spine_client.dispatcher import Dispatcher
from genai_spine_client.errors import GenAIError
from genai_spine_client.retries import Retries

__all__ = ["Answer", "AsyncGenAIClient", "Dispatcher", "GenAIClient", "GenAIError", "Retries", "errors"]
