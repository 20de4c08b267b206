"""The OpenAPI description as a page that needs no script, and nothing from elsewhere."""

from html import escape
from typing import Any

HEAD = """<!doctype html><meta charset="utf-8"><title>P²Bot over HTTP</title><style>
body{font:16px/1.5 sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}</style><h1>P²Bot over HTTP</h1>
<p>For programs: <a href="openapi.json">openapi.json</a></p>"""


def page(described: dict[str, Any]) -> str:
    """:param described: what `FastAPI.openapi` returns."""
    parts = [HEAD]
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            what = escape(about["description"])
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{what}</p>")
            if "requestBody" in about:
                body = about["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                parts.append(_fields(described["components"]["schemas"][body.split("/")[-1]]))
    return "".join(parts)


def _fields(schema: dict[str, Any]) -> str:
    rows = []
    for name, about in schema["properties"].items():
        needed = "needed" if name in schema.get("required", ()) else ""
        rows.append(f"<tr><td><code>{escape(name)}</code><td>{needed}")
        rows.append(f"<td>{escape(about.get('description', ''))}")
    return f"<table>{''.join(rows)}</table>"
