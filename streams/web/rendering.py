"""Pages of our own: templates that escape everything, and what a browser is allowed to load for them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.web.queries import told
from streams.web.replies import tagged

FOLDER = Path(__file__).parent / "assets"
FILES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
"""What is handed out as it is, under /assets/."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@cache
def _templates() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """The template as a page. Other than 200 it has no tag."""
    body = _templates().get_template(template).render(values).encode(errors="replace")
    kind = "text/html; charset=utf-8"
    if status != 200:
        return Response(body, status, {**HEADERS, "Cache-Control": "no-store"}, media_type=kind)
    return tagged(request, body, kind, HEADERS)


async def asset(request: Request) -> Response:
    """A file of ours."""
    told(request, ())
    name = request.url.path.rpartition("/")[2]
    return tagged(request, (FOLDER / name).read_bytes(), FILES[name], HEADERS)
