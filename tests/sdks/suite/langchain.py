"""LangChain's own OpenAI classes."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Sighting(BaseModel):
    """A ship that was seen."""

    ship: str
    hours_late: int


@tool
def weather(place: str) -> str:
    """The weather of a place."""
    return f"fog in {place}"


def test_a_chat_a_stream_and_tokens(base_url: str, key: str) -> None:
    model = ChatOpenAI(model="fake", base_url=base_url, api_key=key, temperature=0.5, max_tokens=20)
    made = model.invoke("Where is the ferry?")
    assert made.content
    assert made.usage_metadata["total_tokens"] > 0
    assert len(list(model.stream("Where is the ferry?"))) > 3
    assert len(model.batch(["One.", "Two."])) == 2


def test_tools_and_classes(base_url: str, key: str) -> None:
    model = ChatOpenAI(model="fake", base_url=base_url, api_key=key)
    (call,) = model.bind_tools([weather]).invoke("Weather? [fake:tool:weather]").tool_calls
    assert call["name"] == "weather"
    assert isinstance(call["args"]["place"], str)
    for method in ("json_schema", "function_calling"):
        assert isinstance(model.with_structured_output(Sighting, method=method).invoke("Where?"), Sighting)


def test_embeddings(base_url: str, key: str) -> None:
    made = OpenAIEmbeddings(model="fake-embed", base_url=base_url, api_key=key, check_embedding_ctx_length=False)
    one, two = made.embed_documents(["a", "b"])
    assert len(one) == len(two) == len(made.embed_query("a"))
