"""`/v1/moderations`: the body as a request of the operation `moderate`, and its verdicts in OpenAI's words."""

from collections.abc import Mapping
from typing import Any

from schemas.moderate import CATEGORIES
from streams.web.openai.fields import Asked, kind_of, only, text, wrong

FIELDS = frozenset({"model", "input"})


def read(body: Mapping[str, Any]) -> Asked:
    """Without a model the settings say which. Raises `Problem` 400."""
    if body.get("messages") is not None:
        raise wrong("messages", "`messages` is not taken: it belongs to /v1/chat/completions; here it is `input`.")
    told = only(body, FIELDS, "")
    model = text(told, "model") if "model" in told else ""
    return Asked(model, {"input": {"texts": _texts(told.get("input"))}, "options": {}})


def _texts(given: Any) -> list[str]:
    """Parts are read as one text, as OpenAI does."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise wrong("input", "`input` must be a text, or a list of at least one.", "missing_required_parameter")
    if all(isinstance(each, str) for each in given):
        return given
    return ["\n".join(_part(part, f"input[{i}]") for i, part in enumerate(given))]


def _part(part: Any, where: str) -> str:
    if kind_of(part) != "text":
        words = f"`{where}` is neither a text nor a part of the type text; pictures are not judged here."
        raise wrong(where, words, "unsupported_parameter")
    found = only(part, {"type", "text"}, where).get("text")
    if not isinstance(found, str):
        raise wrong(f"{where}.text", f"`{where}.text` must be a text.")
    return found


def answered(result: Mapping[str, Any], id_: str, model: str) -> dict[str, Any]:
    """OpenAI's list of verdicts."""
    return {"id": id_, "model": model, "results": [_result(each) for each in result["output"]["results"]]}


def _result(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """With each of their categories: clients read them all."""
    names = list(dict.fromkeys((*CATEGORIES, *verdict["categories"], *verdict["scores"])))
    return {
        "flagged": verdict["flagged"],
        "categories": {name: verdict["categories"].get(name, False) for name in names},
        "category_scores": {name: verdict["scores"].get(name, 0.0) for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
