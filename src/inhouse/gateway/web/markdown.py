"""Markdown that a model or a document wrote, as HTML that can do nothing: whole, or block by block as it comes.

Twice safe: the parser lets no HTML through, and what it makes is cleaned by a list of what may stay. An image becomes
a link, since loading it would tell its server what stands in the address. Knows no page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_TAGS = {
    "a", "blockquote", "br", "code", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "title", "class", "target"},
    "div": {"class", "tabindex"},
    "pre": {"tabindex"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}
_SCHEMES = ("http://", "https://", "mailto:")
_CITED = re.compile(r"\[(\d{1,3})\]")

Sources = Mapping[int, str]
"""Where the numbered sources of a text are to be read, by their number."""


def to_html(text: str, sources: Sources | None = None) -> str:
    """The text as HTML; each [n] of its `sources` becomes a link."""
    return _clean(_reader.render(_sound(text), {"sources": sources or {}}))


class Blocks:
    """A text as it comes, as HTML block by block; each piece costs what the block it belongs to costs."""

    def __init__(self) -> None:
        self._rest = ""
        self._done = 0

    def feed(self, piece: str) -> list[tuple[int, str]]:
        """The blocks that are new or have changed, by number, as HTML."""
        self._rest += _sound(piece)
        tokens = _reader.parse(self._rest)
        begins = [at for at, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
        found = []
        for place, begin in enumerate(begins):
            end = begins[place + 1] if place + 1 < len(begins) else len(tokens)
            html = _clean(_reader.renderer.render(tokens[begin:end], _reader.options, {}))
            found.append((self._done + place, html))
        if len(begins) > 1:
            self._done += len(begins) - 1
            where = tokens[begins[-1]].map
            assert where is not None  # every block says where it stands
            self._rest = "".join(self._rest.splitlines(keepends=True)[where[0] :])
        return found


def _sound(text: str) -> str:
    """Without halves of characters, which models do write and no page can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _clean(html: str) -> str:
    return nh3.clean(
        html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )  # fmt: skip


def _make_reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # A link within this site would be ours to make, not a model's.
    reader.validateLink = lambda url: url.strip().lower().startswith(_SCHEMES)  # type: ignore[method-assign]
    reader.core.ruler.push("sources", _link_sources)
    for rule in (_image, _heading_open, _heading_close, _link_open, _table_open, _table_close, _th_open, _td_open):
        reader.add_render_rule(rule.__name__.removeprefix("_"), rule)
    for rule in (_fence, _code_block):
        reader.add_render_rule(rule.__name__.removeprefix("_"), rule)
    return reader


def _link_sources(state: StateCore) -> None:
    """Makes links of the numbers in the text that are sources'."""
    sources: Sources = state.env.get("sources") or {}
    if not sources:
        return
    for block in state.tokens:
        if block.type != "inline" or block.children is None:
            continue
        depth, made = 0, []
        for token in block.children:
            depth += (token.type == "link_open") - (token.type == "link_close")
            made += _with_links(token, sources) if token.type == "text" and not depth else [token]
        block.children = made


def _with_links(token: Token, sources: Sources) -> list[Token]:
    made: list[Token] = []
    parts = _CITED.split(token.content)  # text, number, text, …
    for at, part in enumerate(parts):
        if at % 2 == 0:
            made += [_text(part)] if part else []
        elif (href := sources.get(int(part))) is None:
            made.append(_text(f"[{part}]"))
        else:
            attrs: dict[str, str | int | float] = {"href": href, "class": "cite"}
            opening = Token("link_open", "a", 1, attrs=attrs)
            made += [opening, _text(f"[{part}]"), Token("link_close", "a", -1)]
    return made


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


# --- how some tokens are rendered -------------------------------------------------------------------------
# The renderer calls each as a method of its own.


def _image(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[at]
    href = escape(str(token.attrGet("src") or ""))
    return f'<a href="{href}" target="_blank">{escape(token.content) or href}</a>'


def _heading_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f"<{_below_the_page(tokens[at])}>"


def _heading_close(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f"</{_below_the_page(tokens[at])}>\n"


def _below_the_page(token: Token) -> str:
    """A page's own headings are the first two levels; a text's stand below them."""
    return f"h{min(6, int(token.tag[1:]) + 2)}"


def _link_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    tokens[at].attrSet("target", "_blank")
    return self.renderToken(tokens, at, options, env)


def _table_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return '<div class="wide" tabindex="0"><table>\n'


def _table_close(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return "</table></div>\n"


def _th_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f"<{_cell(tokens[at])}>"


def _td_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f"<{_cell(tokens[at])}>"


def _cell(token: Token) -> str:
    """A cell whose alignment is a class: the page allows no inline style."""
    aligned = str(token.attrGet("style") or "").removeprefix("text-align:")
    return f'{token.tag} class="{aligned}"' if aligned in ("left", "center", "right") else token.tag


def _fence(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'


_code_block = _fence


_reader: Any = _make_reader()
