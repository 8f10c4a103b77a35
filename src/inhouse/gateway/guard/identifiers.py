"""Finds e-mail addresses and identifiers of letters and digits: IBAN, passports, driving licences, IPv6.

Works on the plain reading; each pattern is anchored on something rare (an @, a capital before digits).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from inhouse.gateway.guard.checksums import iban_checks
from inhouse.gateway.guard.names import MAILBOX_ROLES
from inhouse.gateway.guard.verdict import Span

_AT = re.compile("@")
_WRITTEN_AT = re.compile(r" ?(?:[(\[{] ?(?:at|앳|골뱅이) ?[)\]}]|골뱅이| at (?=[a-z0-9\-]{1,40} dot )) ?")
_LOCAL = re.compile(r"[A-Za-z0-9_+\-](?:[A-Za-z0-9._%+\-']{0,62}[A-Za-z0-9_+\-])?$")
_DOT = r"(?:\.| ?[(\[{] ?(?:dot|점|닷) ?[)\]}] ?| dot | ?[점닷] ?)"
_DOMAIN = re.compile(rf"(?:[a-z0-9][a-z0-9\-]{{0,62}}{_DOT}){{1,5}}(?:[a-z]{{2,24}}|컴|넷)(?![a-z0-9])")
_DOT_WRITTEN = re.compile(_DOT)
# Domains that RFC 2606 and RFC 6761 set aside for examples. A person's name before one still says who is meant
# (test data and anonymised letters are full of them); a role, or one word in quotes as in a manual's code, does not.
_RESERVED = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|org|net|edu|co\.kr|kr))?|test|invalid|localhost|local|internal)$"
)
_MAILBOX_WORDS = re.compile(r"[a-z]{2,}")
_QUOTES = tuple("\"'`=")
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}[ A-Za-z0-9]{11,38}")
_CAPITAL_NUMBER = re.compile(r"[A-Z][A-Z0-9]{6,17}(?![A-Za-z0-9])")
_KOREAN_PASSPORT = re.compile(r"[MSRODGTP][0-9]{8}|[MSROD][0-9]{3}[A-Z][0-9]{4}")
_NEW_KOREAN_PASSPORT = re.compile(r"M[0-9]{3}[A-Z][0-9]{4}")
_PASSPORT_WORDS = re.compile(r"여권|passport")
_TRAVEL_WORDS = re.compile(r"여권|passport|여행|출국|입국|탑승|항공|비자|visa\b|travel|boarding|immigration")
_PASSPORT_NUMBER = re.compile(r"(?<![a-z0-9])(?:[a-z]{1,2}[0-9]{6,8}|[a-z][0-9]{3}[a-z][0-9]{4}|[0-9]{9})(?![a-z0-9])")
_BRITISH_LICENCE = re.compile(r"[A-Z9]{5}[0-9][0156][0-9][0-3][0-9][0-9][A-Z9]{2}[A-Z0-9]{3}")
_LICENCE_WORDS = re.compile(
    r"driver'?s?'? (?:licen[cs]e|permit)|driving licen[cs]e|d\.?l\.?(?: no| number|#|:)|licen[cs]e (?:no\b|number|"
    r"num|#|is)|면허"
)
_LICENCE_NUMBER = re.compile(
    r"(?<![a-z0-9])(?:[a-z]{0,3}[ \-]?[0-9][0-9a-z]{3,16}(?:[ \-][0-9a-z]{2,8}){0,3})(?![a-z0-9])"
)
_REGION_LICENCE = re.compile(
    r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|"
    r"울산)[ \-]?[0-9]{2}[ \-][0-9]{6}[ \-][0-9]{2}(?![0-9])"
)
_NATIONAL_INSURANCE = re.compile(
    r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![A-Za-z0-9])"
)
_COLONS = re.compile(r":[0-9a-f]{0,4}:(?:[0-9a-f]{0,4}:?){0,6}")
_HEX = re.compile(r"[0-9a-f]{1,4}$")


def find_identifiers(text: str, low: str) -> Iterator[Span]:
    """Every span that some rule here makes a claim to; claims may overlap (see personal_data)."""
    yield from _emails(text, low)
    yield from _capital_numbers(text, low)
    if "여권" in low or "passport" in low:
        yield from _labelled(low, _PASSPORT_WORDS, _PASSPORT_NUMBER, "passport")
    if "licen" in low or "면허" in low or "permit" in low or "dl" in low:
        yield from _labelled(low, _LICENCE_WORDS, _LICENCE_NUMBER, "driver_licence")
    for match in _REGION_LICENCE.finditer(text):
        yield Span("driver_licence", *match.span(), 0.9, "region, 2-6-2")
    if ":" in text:
        yield from _ipv6(low)


def _emails(text: str, low: str) -> Iterator[Span]:
    written = (
        "골뱅이" in low
        or "앳" in low
        or " dot " in low
        or any(f"{bracket}at" in low for bracket in "([{")
        or "( at" in low
    )
    for at in (*_AT.finditer(text), *(_WRITTEN_AT.finditer(low) if written else ())):
        local = _LOCAL.search(text, max(0, at.start() - 64), at.start())
        domain = _DOMAIN.match(low, at.end(), at.end() + 200) if local else None
        if local is None or domain is None:
            continue
        start, end = local.start(), domain.end()
        if not _RESERVED.search(_DOT_WRITTEN.sub(".", domain[0])) or _names_someone(
            low[start : at.start()],
            quoted=text[max(0, start - 1) : start] in _QUOTES and text[end : end + 1] in _QUOTES,
        ):
            yield Span("email", start, end, 0.95, "address")


def _names_someone(local: str, *, quoted: bool) -> bool:
    """Whether the part before the @ of a reserved domain reads as a person: first and last name, or one in prose."""
    words = _MAILBOX_WORDS.findall(local)
    if len(words) > 1 and words in (["john", "doe"], ["jane", "doe"]):
        return not quoted
    return bool(words) and not any(word in MAILBOX_ROLES for word in words) and (len(words) > 1 or not quoted)


def _capital_numbers(text: str, low: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        piece, start = match[0].upper(), match.start()
        if start and text[start - 1].isascii() and text[start - 1].isalnum():
            continue
        # The pattern may run into the next word: the country's length says where the number ends.
        for stop in range(len(piece), 14, -1):
            if piece[stop - 1] != " " and iban_checks(piece[:stop].replace(" ", "")):
                yield Span("iban", start, start + stop, 1.0, "check digits")
                break
    for match in _CAPITAL_NUMBER.finditer(text):
        start = match.start()
        if start and text[start - 1].isascii() and text[start - 1].isalnum():
            continue
        if _KOREAN_PASSPORT.fullmatch(match[0]):
            near = low[max(0, start - 60) : match.end() + 30]
            if _NEW_KOREAN_PASSPORT.fullmatch(match[0]) or _TRAVEL_WORDS.search(near):
                yield Span("passport", *match.span(), 0.85, "Korean passport")
        elif _BRITISH_LICENCE.fullmatch(match[0]):
            yield Span("driver_licence", *match.span(), 0.9, "British licence")
    for match in _NATIONAL_INSURANCE.finditer(text):
        if not (match.start() and text[match.start() - 1].isalnum()):
            yield Span("national_insurance", *match.span(), 0.85, "two letters, six digits, a letter")


def _labelled(low: str, words: re.Pattern[str], number: re.Pattern[str], kind: str) -> Iterator[Span]:
    for label in words.finditer(low):
        for match in number.finditer(low, label.end(), label.end() + 60):
            if (
                sum(character.isdigit() for character in match[0]) >= 5
                and "\n\n" not in low[label.end() : match.start()]
            ):
                yield Span(kind, *match.span(), 0.7, "number after its label")
                break


def _ipv6(low: str) -> Iterator[Span]:
    for match in _COLONS.finditer(low):
        head = _HEX.search(low, max(0, match.start() - 4), match.start())
        start = head.start() if head else match.start()
        piece = low[start : match.end()]
        if len(piece) < 8:
            continue
        try:
            public = ipaddress.ip_address(piece).is_global
        except ValueError:
            continue
        if public:
            yield Span("ip_address", start, match.end(), 0.8, "public IPv6")
