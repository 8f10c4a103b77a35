"""Finds numbers that identify people: resident numbers, phones, cards, accounts, licences, and the like.

Works on the plain reading. A number is first cut out as a run of digits and separators; only then is it asked
what it can be, so that a long text costs one pass and no pattern runs away. What is ambiguous by itself
(an account, a date) counts only near a word that says what it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from inhouse.gateway.guard import checksums
from inhouse.gateway.guard import number_words as words
from inhouse.gateway.guard.verdict import Span

_RUN = re.compile(r"[0-9][0-9 ().\-/~]*")
_DIGIT_RUN = re.compile(r"[0-9]+")
_SPREAD = re.compile(r"[0-9](?:[ .\-][0-9]){8,20}(?![0-9])")

_EDGE = r"(?<![0-9])"
_STOP = r"(?![0-9])"
_END = r"(?![0-9]|-[0-9])"  # of a phone number: more groups make it something else
_SEP = r"[ .\-]{0,3}"
_RESIDENT = re.compile(rf"{_EDGE}([0-9]{{6}})[ \-]{{0,3}}([0-9]{{7}}){_STOP}")
_MOBILE = re.compile(rf"{_EDGE}01[016789]{_SEP}[0-9]{{3,4}}{_SEP}[0-9]{{4}}{_END}")
_LANDLINE = re.compile(
    rf"{_EDGE}0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[2-8])(?:\) ?|{_SEP})[0-9]{{3,4}}[ .\-]{{1,3}}[0-9]{{4}}{_END}"
)
_LANDLINE_BARE = re.compile(rf"{_EDGE}0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70)[0-9]{{7,8}}{_STOP}")
_KOREA = re.compile(
    rf"{_EDGE}(?:00)?82{_SEP}(?:\(0\) ?|\(?0?)(?:1[016789]|2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70)\)?{_SEP}"
    rf"[0-9]{{3,4}}{_SEP}[0-9]{{4}}{_STOP}"
)
_AMERICA = re.compile(
    rf"{_EDGE}(?:(?:00)?1[ .\-]{{1,2}})?\(?[2-9][0-9]{{2}}(?:\) ?|[ .\-])[2-9][0-9]{{2}}[ .\-][0-9]{{4}}{_STOP}"
)
_BRITAIN = re.compile(
    rf"{_EDGE}(?:07[0-9]{{3}} ?[0-9]{{3}} ?[0-9]{{3}}|0(?:20 ?[0-9]{{4}}|1[0-9]{{2,3}} [0-9]{{3}}|"
    rf"1[0-9]{{3}} ?[0-9]{{3}}) ?[0-9]{{3,4}}){_STOP}"
)
_CARD = re.compile(
    rf"{_EDGE}(?:[0-9]{{12,19}}|"
    rf"[0-9]{{4}}(?:[ .\-]{{1,3}}[0-9]{{4}}){{2}}[ .\-]{{1,3}}[0-9]{{1,4}}(?:[ .\-][0-9]{{3}})?"
    rf"|[0-9]{{4}}[ .\-][0-9]{{6}}[ .\-][0-9]{{4,5}}){_STOP}"
)
_LAST_GROUP = re.compile(r"[ .\-]{1,3}[0-9]{1,4}$")
_BUSINESS = re.compile(rf"{_EDGE}[0-9]{{3}}[ \-]{{1,3}}[0-9]{{2}}[ \-]{{1,3}}[0-9]{{5}}{_STOP}")
_LICENCE = re.compile(rf"{_EDGE}([0-9]{{2}})[ \-]{{1,3}}[0-9]{{2}}[ \-]{{1,3}}[0-9]{{6}}[ \-]{{1,3}}[0-9]{{2}}{_STOP}")
_SSN = re.compile(rf"{_EDGE}[0-9]{{3}}([ \-])[0-9]{{2}}\1[0-9]{{4}}{_STOP}")
_GROUPS = re.compile(rf"{_EDGE}[0-9]{{2,6}}(?:[ \-]{{1,3}}[0-9]{{1,8}}){{1,4}}{_STOP}")
_IPV4 = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])")
_DATE = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}\s?[.\-/년]\s?(?:0?[1-9]|1[0-2])\s?[.\-/월]\s?(?:3[01]|[12][0-9]|0?[1-9])\s?일?"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[.\-/](?:0?[1-9]|[12][0-9]|3[01])[.\-/](?:(?:19|20)[0-9]{2}|[0-9]{2})"
    r"|[0-9]{2}\s?[.\-/년]\s?(?:0?[1-9]|1[0-2])\s?[.\-/월]\s?(?:3[01]|[12][0-9]|0?[1-9])\s?일?"
    r"|(?:19|20)?[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))(?![0-9])"
)
_ENGLISH_DATE = re.compile(
    r"(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? (?:19|"
    r"20)[0-9]{2}"
    r"|[0-9]{1,2}(?:st|nd|rd|th)? (?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?,? (?:19|"
    r"20)[0-9]{2})",
)
_DATE_REACH = 60  # characters from a word for birth to the far end of its date


@dataclass(frozen=True, slots=True)
class _Around:
    """A run of digits in its text, and the words about it (`low`: the text in lower case)."""

    text: str
    low: str
    start: int
    end: int

    def says(self, pattern: re.Pattern[str], start: int, end: int, *, before: int = 50, after: int = 16) -> bool:
        return pattern.search(self.low[max(0, start - before) : start] + "\n" + self.low[end : end + after]) is not None

    def follows(self, pattern: re.Pattern[str], start: int, *, before: int = 40) -> bool:
        head = self.low[max(0, start - before) : start]
        return pattern.search(head, head.rfind("\n\n") + 1) is not None  # another paragraph speaks of something else


def find_numbers(text: str, low: str) -> Iterator[Span]:
    """Every span that some number rule makes a claim to; claims may overlap (see personal_data)."""
    for run in _RUN.finditer(text):
        start, end = run.span()
        if end - start < 7:
            continue
        if run[0].count(".") >= 3:
            yield from _addresses(text, start, end)
        digits = sum(map(len, _DIGIT_RUN.findall(run[0])))
        around = _Around(text, low, start, end)
        if digits >= 7:
            yield from _claims(around, digits)
    if any(word in low for word in words.BIRTH_HINTS):
        yield from _birth_dates(text, low)


def _claims(around: _Around, digits: int) -> Iterator[Span]:
    text, start, end = around.text, around.start, around.end
    # A plus or a bracket belongs to the number that follows it.
    lead = start - 1 if start and text[start - 1] in "+(" else start
    if lead and text[lead - 1] == "+":
        lead -= 1
    whole = start + len(text[start:end].rstrip(" ().-/~"))
    sure = list(_sure_phones(around))
    yield from sure
    if any(span.start <= start and span.end >= whole for span in sure):
        return
    yield from _phones(around, lead)
    yield from _accounts(around)
    if digits >= 9:
        yield from _nine_digits(around)
    if digits >= 12:
        yield from _cards(around)
        for match in _RESIDENT.finditer(text, start, end):
            yield from _resident(around, match[1] + match[2], *match.span())
        for match in _LICENCE.finditer(text, start, end):
            if match[1] in words.LICENCE_REGIONS:
                yield Span("driver_licence", *match.span(), 0.9, "2-2-6-2 with a region code")
    for match in _SPREAD.finditer(text, start, end):
        yield from _spread(around, match)


def _resident(around: _Around, digits: str, start: int, end: int) -> Iterator[Span]:
    if checksums.resident_birth(digits) is None:
        return
    kind = "foreigner_number" if checksums.resident_is_foreign(digits) else "resident_number"
    if checksums.resident_checks(digits):
        yield Span(kind, start, end, 1.0, "check digit")
    elif around.says(words.RESIDENT_WORDS, start, end):
        yield Span(kind, start, end, 0.9, "birth date and a word for it")
    elif checksums.resident_is_checkless(digits) and end - start > 13:
        yield Span(kind, start, end, 0.8, "born since numbers have no check digit")


def _sure_phones(around: _Around) -> Iterator[Span]:
    text, start, end = around.text, around.start, around.end
    for match in _MOBILE.finditer(text, start, end):
        yield Span("phone", *_with_bracket(text, match), 0.95, "Korean mobile")
    for match in _LANDLINE.finditer(text, start, end):
        yield Span("phone", *_with_bracket(text, match), 0.9, "Korean landline")


def _phones(around: _Around, lead: int) -> Iterator[Span]:
    text, start, end = around.text, around.start, around.end
    if lead < start and text[lead] == "+":
        head = _international(text, lead, end)
        if head is not None:
            yield head
    for match in _KOREA.finditer(text, start, end):
        if around.says(words.PHONE_WORDS, match.start(), match.end()) or match.end() - match.start() > 12:
            yield Span("phone", *match.span(), 0.8, "country code 82")
    for pattern, rule in ((_AMERICA, "North American"), (_BRITAIN, "British")):
        for match in pattern.finditer(text, start, end):
            if not around.follows(words.NOT_A_PHONE, match.start(), before=24):
                yield Span("phone", *_with_bracket(text, match), 0.85, rule)
    labelled = (
        around.follows(words.PHONE_WORDS, lead, before=30) or words.PHONE_AFTER.match(around.low, end) is not None
    )
    if labelled and not around.follows(words.NOT_A_PHONE, lead, before=24):
        piece = text[start:end].rstrip(" ().-/~")
        count = sum(character.isdigit() for character in piece)
        if 7 <= count <= 15 and not _DATE.fullmatch(piece):
            stop = start + len(piece)
            yield Span(
                "phone",
                lead if text[lead] != "(" or ")" in piece else start,
                stop,
                0.6,
                "number after a word for phone",
            )
    for match in _LANDLINE_BARE.finditer(text, start, end):
        if around.says(words.PHONE_WORDS, *match.span()):
            yield Span("phone", *match.span(), 0.7, "Korean landline, unseparated")


def _international(text: str, lead: int, end: int) -> Span | None:
    """+CC and up to fifteen digits; stops where the number ends for a reader."""
    stop, count = lead + 1, 0
    for index in range(lead + 1, end):
        if text[index].isdigit():
            count += 1
            stop = index + 1
            if count > 15:
                return None
        elif text[index - 1 : index + 1] in ("  ", "--", ".."):
            break
    return Span("phone", lead, stop, 0.9, "international") if count >= 8 else None


def _with_bracket(text: str, match: re.Match[str]) -> tuple[int, int]:
    """The match with the bracket before it, where it has the closing one."""
    start, end = match.span()
    if start and text[start - 1] == "(" and ")" in match[0]:
        start -= 1
    return start, end


def _cards(around: _Around) -> Iterator[Span]:
    for match in _CARD.finditer(around.text, around.start, around.end):
        # A short group at the end may be the next number's.
        for candidate in (match[0], _LAST_GROUP.sub("", match[0])):
            digits = "".join(_DIGIT_RUN.findall(candidate))
            if len(digits) < 12 or not checksums.luhn_checks(digits) or not checksums.card_issuer_fits(digits):
                continue
            start, end = match.start(), match.start() + len(candidate)
            if len(digits) >= 14 or around.says(words.CARD_WORDS, start, end, before=80, after=40):
                yield Span("card", start, end, 1.0, "issuer and check digit")
                break


def _accounts(around: _Around) -> Iterator[Span]:
    text, low, start = around.text, around.low, around.start
    before = words.BANK_BEFORE.search(low, max(0, start - 12), start) is not None
    if not before and not around.follows(words.BANKS, start, before=60):
        return
    if around.follows(words.NOT_A_PHONE, start, before=24) or words.CODE_BEFORE.search(text, max(0, start - 8), start):
        return
    for match in _GROUPS.finditer(text, start, around.end):
        digits = sum(character.isdigit() for character in match[0])
        near = before or around.follows(words.BANKS, match.start(), before=36)
        if 9 <= digits <= 16 and near and not _DATE.match(match[0]):
            yield Span("account", *match.span(), 0.75, "grouped digits after a word for account or a bank")
    for match in _DIGIT_RUN.finditer(text, start, around.end):
        length = match.end() - match.start()
        near = before or around.follows(words.BANKS, match.start(), before=24)
        if (10 <= length <= 14 and near) or (6 <= length <= 17 and around.follows(words.ACCOUNT_LABEL, match.start())):
            yield Span("account", *match.span(), 0.65, "digits after a word for account or a bank")


def _nine_digits(around: _Around) -> Iterator[Span]:
    text, start, end = around.text, around.start, around.end
    for match in _BUSINESS.finditer(text, start, end):
        if checksums.business_checks("".join(_DIGIT_RUN.findall(match[0]))):
            yield Span("business_number", *match.span(), 0.95, "check digit")
    for match in _SSN.finditer(text, start, end):
        if checksums.ssn_fits("".join(_DIGIT_RUN.findall(match[0]))) and (
            match[1] == "-" or around.says(words.SSN_WORDS, *match.span())
        ):
            yield Span("ssn", *match.span(), 0.9, "3-2-4")
    for match in _DIGIT_RUN.finditer(text, start, end):
        span, length = match.span(), match.end() - match.start()
        if length == 10 and checksums.business_checks(match[0]) and around.says(words.BUSINESS_WORDS, *span):
            yield Span("business_number", *span, 0.9, "check digit and a word for it")
        elif length == 12 and match[0][:2] in words.LICENCE_REGIONS and around.says(words.LICENCE_WORDS, *span):
            yield Span("driver_licence", *span, 0.85, "region code and a word for it")
        elif length == 9 and checksums.ssn_fits(match[0]) and around.says(words.SSN_WORDS, *span):
            yield Span("ssn", *span, 0.85, "nine digits and a word for it")
        elif length == 9 and checksums.routing_checks(match[0]) and around.says(words.ROUTING_WORDS, *span):
            yield Span("routing_number", *span, 0.95, "check digit and a word for it")


def _addresses(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _IPV4.finditer(text, start, end):
        if _is_public_address(match[0]) and not words.VERSION.search(text, max(0, match.start() - 12), match.start()):
            yield Span("ip_address", *match.span(), 0.8, "public IPv4")


def _birth_dates(text: str, low: str) -> Iterator[Span]:
    # From the words to the dates: the words are rare, and a date's pattern is dear.
    for word in words.BIRTH_WORDS.finditer(low):
        begin, stop = max(0, word.start() - _DATE_REACH), min(len(low), word.end() + _DATE_REACH)
        for pattern in (_DATE, _ENGLISH_DATE):
            for match in pattern.finditer(low, begin, stop):
                if _Around(text, low, *match.span()).says(words.BIRTH_WORDS, *match.span(), before=26, after=4):
                    yield Span("birth_date", *match.span(), 0.8, "date near a word for birth")


def _spread(around: _Around, match: re.Match[str]) -> Iterator[Span]:
    """Digits written one by one: 0 1 0 - 1 2 3 4 …"""
    digits = "".join(_DIGIT_RUN.findall(match[0]))
    if re.fullmatch(r"01[016789][0-9]{7,8}", digits):
        yield Span("phone", *match.span(), 0.8, "Korean mobile, digit by digit")
    elif len(digits) == 13:
        yield from _resident(around, digits, *match.span())
    elif len(digits) >= 14 and checksums.luhn_checks(digits) and checksums.card_issuer_fits(digits):
        yield Span("card", *match.span(), 0.9, "issuer and check digit, digit by digit")


def _is_public_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
