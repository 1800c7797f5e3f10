# Made by `python -m scripts.client` from schemas/moderate.py; change it there.
"""moderate: whether texts hold what should not be said, by category."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genai_spine_client.schemas.text import Content, exactly_one

MAX_TEXTS = 64
CATEGORIES: dict[str, str] = {
    "harassment": "abuses, insults or bullies somebody",
    "harassment/threatening": "harasses somebody and threatens them with violence or serious harm",
    "hate": "hates or demeans people for their race, gender, ethnicity, religion, nationality, sexuality, disability or caste",
    "hate/threatening": "hates such a group and threatens it with violence or serious harm",
    "illicit": "advises how to commit a crime or do other wrong",
    "illicit/violent": "the same, of violence or of getting hold of a weapon",
    "self-harm": "promotes, encourages or depicts suicide, cutting or eating disorders",
    "self-harm/intent": "its speaker harms themselves or means to",
    "self-harm/instructions": "tells how to harm oneself, or encourages to",
    "sexual": "is meant to arouse, or advertises sexual services; education and wellness are none of it",
    "sexual/minors": "sexual content with anybody under 18",
    "violence": "depicts death, violence or injury",
    "violence/graphic": "depicts them in graphic detail",
}
"""Those of OpenAI's `omni-moderation`, each in words of our own for models that are asked by a prompt."""


class Input(BaseModel):
    """Either `texts` or one `content`."""

    model_config = ConfigDict(json_schema_extra=exactly_one("texts", "content"))

    texts: Annotated[list[Content], Field(min_length=1, max_length=MAX_TEXTS)] | None = None
    content: Content | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Input":
        if (self.texts is None) == (self.content is None):
            raise ValueError("give either `texts` or `content`")
        return self


class Verdict(BaseModel):
    """Of one text. `scores`: how sure the model is, from 0 to 1, by category; `categories`: those that it finds."""

    flagged: bool
    categories: dict[str, bool]
    scores: dict[str, float]


class Output(BaseModel):
    """One verdict per text, in their order."""

    results: list[Verdict]
