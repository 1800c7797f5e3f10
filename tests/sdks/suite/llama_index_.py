"""LlamaIndex, which knows us as something like OpenAI."""

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike


def test_a_chat_a_stream_and_a_completion(base_url: str, key: str) -> None:
    model = OpenAILike(model="fake", api_base=base_url, api_key=key, is_chat_model=True)
    asked = [ChatMessage(role="user", content="Where is the ferry?")]
    assert model.chat(asked).message.content
    assert len(list(model.stream_chat(asked))) > 3
    assert model.complete("One.").text
    old = OpenAILike(model="fake", api_base=base_url, api_key=key, is_chat_model=False)
    assert old.complete("One.").text


def test_embeddings(base_url: str, key: str) -> None:
    made = OpenAILikeEmbedding(model_name="fake-embed", api_base=base_url, api_key=key)
    assert len(made.get_text_embedding("a")) == len(made.get_query_embedding("b"))
