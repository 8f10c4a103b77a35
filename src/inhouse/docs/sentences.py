"""Where Korean and English sentences end. Rules only: no model, no dictionary but a list of abbreviations."""

from __future__ import annotations

import re

_END = re.compile(
    r"""
    (?: [.!?…。！？]+ (?P<close> ["'”’»)\]」』】》〉]* ) (?= \s | $ )      # the usual end
      | (?<=[다요죠까]) [.!?]+ (?P<close2> ["”’」』]* ) (?= [가-힣A-Z"“‘「『] )   # Korean without a space after it
      | [。！？] (?P<close3> [”’」』]* )
      | \n \s* \n                                                       # an empty line
    )
    """,
    re.VERBOSE,
)
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof sr jr st no nos vs fig figs eq eqs vol ch chap sec pp p ed eds al etc inc ltd co corp dept "
        "est approx ca cf e.g i.e a.m p.m u.s u.k u.n ph.d jan feb mar apr jun jul aug sep sept oct nov dec mt rev gen "
        "art arts ver v viz resp tel max min avg ext",
    )
)
_WORD_BEFORE = re.compile(r"[^\s(\[{\"'“‘]+$")
_NUMBER = re.compile(r"\d+$")
_DATE = re.compile(r"(?:\d{4}|['’]?\d{2})\.\s*\d{1,2}(?:\.\s*\d{1,2})?$")
_QUOTED_ON = re.compile(r"\s*(?:이?라[고는며면]|하?[고며]|하는|하[였여]|[은는이가을를의도에]\s|와\s|과\s)")
_LIST_MARK = re.compile(r"(?:^|\n)\s*(?:\(?\d{1,3}|[A-Za-z가-하]|[ivxIVX]{1,5})$")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, without the space around it. Together they hold all but space."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if match[0].strip() and not _ends(text, match):
            continue
        start = _add(text, start, match.end(), spans)
    _add(text, start, len(text), spans)
    return spans


def _add(text: str, start: int, end: int, spans: list[tuple[int, int]]) -> int:
    piece = text[start:end]
    if piece.strip():
        first = start + len(piece) - len(piece.lstrip())
        spans.append((first, first + len(piece.strip())))
    return end


def _ends(text: str, match: re.Match[str]) -> bool:
    """Whether the mark that was found ends a sentence here."""
    before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() : match.end() + 12]
    following = after.lstrip()
    closed = match["close"] or match["close2"] or match["close3"]
    if not following:
        return True
    # "갔다." 라고 말했다; "Stop!" he said; (그는 갔다.)는 …
    if closed and _QUOTED_ON.match(after):
        return False
    if following[0].islower():
        return False
    if match[0].startswith("...") and before.endswith(" "):
        return False  # what was left out, or a pause within a sentence
    if not match[0].startswith(".") or match[0].startswith(("..", "…")):
        return True
    if before.endswith(("다", "요", "죠", "음", "함", "까")):
        return True
    word = _WORD_BEFORE.search(before)
    last = word[0].lower() if word else ""
    if last in _ABBREVIATIONS:
        # "5 p.m. The shop closes" is left as one: to part "Dr. Kim" would hurt more.
        return False
    if len(last) == 1 and last.isalpha() and last.isascii() and (word is None or word[0].isupper()):
        return False  # an initial: J. Smith
    if _LIST_MARK.search(before) and not closed:
        return False
    if _NUMBER.search(before):
        # 2024. 3. 5., 제3. 4항: a number, its point and a number are one; a date goes on as well.
        return not (following[0].isdigit() or (_DATE.search(before) and not following[0].isupper()))
    return True
