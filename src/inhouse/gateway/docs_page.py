"""The page at /docs: the OpenAPI description as HTML, made here, without a script and with nothing from elsewhere.

Knows OpenAPI documents; nothing of the gateway.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Schema = Mapping[str, Any]

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#5b6570;--line:#d9dee3;--ground:#fff;--soft:#f4f6f8;--link:#0a5bb5}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--dim:#9aa5b1;--line:#333b44;--ground:#14181d;--soft:#1d232a;
--link:#7db7ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 4rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{margin:0}h2{margin:2.5rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
a{color:var(--link)}p{margin:.5rem 0}nav a{margin-right:1rem}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{background:var(--soft);padding:.75rem;overflow-x:auto}
details{border-bottom:1px solid var(--line)}summary{padding:.5rem 0;cursor:pointer;overflow-wrap:anywhere}
.method{display:inline-block;min-width:4.5rem;font-weight:700}.dim{color:var(--dim)}
.inside{padding:0 0 1rem 1rem}.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.25rem 1rem .25rem 0;text-align:left;vertical-align:top}
th{color:var(--dim);font-weight:400}td{border-top:1px solid var(--line)}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What a browser is told: to run and load nothing but the page and its own style."""


def docs_page(document: Schema, address: str) -> str:
    """The page. `address` is the gateway's own, for the examples."""
    tags: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            tags.setdefault(tag, []).append(_operation(method.upper(), path, operation, address))
    schemas = document.get("components", {}).get("schemas", {})
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    links = " ".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in [*tags, "Schemas"])
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE}</style><h1>{title}</h1>",
        "<p>Send your key as <code>Authorization: Bearer ih-…</code>. The same as data: "
        '<a href="openapi.json">openapi.json</a>.</p>',
        f"<nav>{links}</nav>",
    ]
    for tag, found in tags.items():
        parts += [f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>', *found]
    parts.append('<h2 id="of-Schemas">Schemas</h2>')
    parts += [_component(name, schema) for name, schema in sorted(schemas.items())]
    return "".join(parts) + "</html>\n"


def _operation(method: str, path: str, operation: Schema, address: str) -> str:
    summary = operation.get("description") or operation.get("summary") or ""
    parts = [
        f'<details><summary><span class="method">{method}</span><code>{escape(path)}</code> '
        f'<span class="dim">{escape(str(summary))}</span></summary><div class="inside">'
    ]
    if parameters := operation.get("parameters"):
        rows = [
            (
                p["name"],
                p["in"],
                kind(p.get("schema", {})),
                "yes" if p.get("required") else "",
                p.get("description", ""),
            )
            for p in parameters
        ]
        parts.append(_table(("parameter", "in", "type", "required", ""), rows))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        parts.append(f"<p>Body: {kind(body)}</p>")
    data = " \\\n  -H 'Content-Type: application/json' -d '{…}'" if body is not None else ""
    verb = "" if method == "GET" else f"-X {method} "
    example = f'curl {verb}{address}{path} \\\n  -H "Authorization: Bearer $KEY"{data}'
    parts.append(f"<pre>{escape(example)}</pre>")
    answers = [
        (status, escape(" or ".join(answer.get("content", {}))), answer.get("description", ""))
        for status, answer in operation.get("responses", {}).items()
    ]
    parts.append(_table(("status", "type", ""), answers))
    return "".join(parts) + "</div></details>"


def _component(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (field, kind(of), _yes(field in required), _limits(of)) for field, of in schema.get("properties", {}).items()
    ]
    inside = _table(("field", "type", "required", ""), rows) if rows else f"<p>{kind(schema)}</p>"
    about = f'<span class="dim">{escape(str(schema.get("description", "")))}</span>'
    heading = f'<summary id="{_anchor(name)}"><code>{escape(name)}</code> {about}</summary>'
    return f'<details open>{heading}<div class="inside">{inside}</div></details>'


def kind(schema: Schema) -> str:
    """A schema's type as HTML, with links to those that have a name."""
    if reference := schema.get("$ref"):
        name = str(reference).rsplit("/", 1)[-1]
        return f'<a href="#{_anchor(name)}">{escape(name)}</a>'
    if choices := schema.get("enum"):
        return " | ".join(f"<code>{escape(repr(choice))}</code>" for choice in choices)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(kind(one) for one in schema[several]))
    found = schema.get("type", "anything")
    if found == "array":
        return f"array of {kind(schema.get('items') or {})}"
    return escape(" | ".join(found) if isinstance(found, list) else str(found))


def _yes(whether: object) -> str:
    return "yes" if whether else ""


def _limits(schema: Schema) -> str:
    """The bounds that a schema, or the one that is not null among several, sets."""
    return ", ".join(dict.fromkeys(_bounds(schema)))


def _bounds(schema: Schema) -> Iterator[str]:
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minItems": "at least {}",
    }
    yield from (text.format(schema[name]) for name, text in words.items() if name in schema)
    if schema.get("default") is not None:
        yield f"default {schema['default']}"
    for one in schema.get("anyOf", ()):
        yield from _bounds(one)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table; the first column is code, those called type are HTML already."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    lines = []
    for row in rows:
        cells = [f"<td><code>{escape(row[0])}</code></td>"]
        cells += [
            f"<td>{cell if head == 'type' else escape(str(cell))}</td>"
            for head, cell in zip(heads[1:], row[1:], strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def _anchor(name: str) -> str:
    return escape(f"of-{name}")
