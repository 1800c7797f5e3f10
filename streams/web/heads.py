"""Texts in headers: UTF-8, as in bodies. The framework reads what is beyond ASCII there as Latin-1."""

from starlette.requests import Request

from streams.web.problems import Problem


def text(request: Request, name: str) -> str | None:
    """None: it was not sent. Raises `Problem` 400."""
    given = request.headers.get(name)
    if given is None:
        return None
    try:
        return given.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Problem(400, f"The header {name} is not UTF-8; write its text as UTF-8, or in ASCII.") from None
