"""What a model or a document writes, as HTML: nothing in it may run, load or lead where it does not say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.gateway.web.markdown import Blocks, to_html

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](\x01javascript:alert(1))",
    "[a](java&#10;script:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    '![x](https://a.b/x.png "onerror=alert(1)")',
    '[a](https://a.b "onmouseover=alert(1)")',
    "[a]: javascript:alert(1)\n\n[a]",
    "```<script>alert(1)</script>\n</code></pre><script>alert(2)</script>\n```",
    "|<script>alert(1)</script>|\n|-|\n|<iframe src=//evil>|",
    "<style>*{display:none}</style>",
    "<form action=/sign-out><button>x</button></form>",
    '<a href="https://a" onclick="x()">a</a>',
    "<base href=//evil>",
    "<meta http-equiv=refresh content=0>",
]
_TAG = re.compile(r"<\s*/?\s*([a-zA-Z0-9]+)([^>]*)>")
_HARMLESS = {
    "a", "blockquote", "br", "code", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def assert_harmless(html):
    for tag, attributes in _TAG.findall(html):
        assert tag in _HARMLESS, html
        names = set(re.findall(r'([a-zA-Z-]+)="', attributes))
        assert names <= {"href", "title", "class", "target", "rel", "tabindex", "start"}, html
        for href in re.findall(r'href="([^"]*)"', attributes):
            assert href.startswith(("http://", "https://", "mailto:", "/here/")), html


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_in_a_text_can_run_or_load(text):
    assert_harmless(to_html(text))
    assert_harmless(to_html(f"before {text} [1]", {1: "/here/1"}))
    blocks = Blocks()
    for letter in text:
        for _, html in blocks.feed(letter):
            assert_harmless(html)


@given(st.text(alphabet=st.sampled_from("<>[]()!`\"'&#;:/= \n|-*_1axjs\ud800가"), max_size=60))
def test_no_text_makes_anything_but_harmless_html(text):
    assert_harmless(to_html(text, {1: "/here/1"}))


@given(st.lists(st.sampled_from(["# a\n", "- b\n", "\n", "c ", "```\n", "> d\n", "|a|\n|-|\n", "1. e\n", "**f**"])))
def test_blocks_that_come_in_pieces_are_those_of_the_whole(pieces):
    blocks, shown = Blocks(), {}
    for piece in pieces:
        shown |= dict(blocks.feed(piece))
    assert "".join(shown[number] for number in sorted(shown)) == to_html("".join(pieces))


def test_an_image_becomes_a_link_and_a_link_leaves_in_a_page_of_its_own():
    html = to_html("![chart](https://a.b/c.png?secret=1)")
    assert html == (
        '<p><a href="https://a.b/c.png?secret=1" target="_blank" rel="noopener noreferrer nofollow">chart</a></p>\n'
    )


def test_a_model_cannot_link_into_this_site():
    assert "<a" not in to_html("[click](/keys) [or](//evil) [this](keys?x=1) [that](#top)")


def test_numbers_of_sources_become_links_and_others_stay():
    html = to_html("25 days [1][2], see [7] and `[1]` and [a [1] b](https://q).", {1: "/here/1", 2: "/here/2"})
    assert re.findall(r'href="(/here/\d)"', html) == ["/here/1", "/here/2"]
    assert "[7]" in html
    assert "<code>[1]</code>" in html


def test_headings_stand_below_the_pages_own_and_alignment_is_a_class():
    assert to_html("# a\n###### b") == "<h3>a</h3>\n<h6>b</h6>\n"
    assert 'class="right"' in to_html("|a|\n|-:|\n|1|")
    assert "style=" not in to_html("|a|\n|-:|\n|1|")
