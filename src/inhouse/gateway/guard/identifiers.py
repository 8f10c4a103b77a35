"""Finds e-mail addresses and identifiers of letters and digits: IBAN, passports, driving licences, IPv6.

Works on the plain reading; each pattern is anchored on something rare (an @, a capital before digits).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from inhouse.gateway.guard.checksums import iban_checks
from inhouse.gateway.guard.verdict import Span

_AT = re.compile(r"@|[ ]?[(\[{]\s?(?:at|앳|골뱅이)\s?[)\]}][ ]?| ?골뱅이 ?| at (?=[A-Za-z0-9\-]{1,40} dot )", re.IGNORECASE)
_LOCAL = re.compile(r"[A-Za-z0-9._%+\-']*[A-Za-z0-9_+\-]$")
_DOMAIN = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}(?:\.| ?[(\[{]\s?(?:dot|점|닷)\s?[)\]}] ?| dot | ?[점닷] ?))"
    r"(?:[A-Za-z0-9\-]{1,63}\.){0,4}(?:[A-Za-z]{2,24}|컴|넷)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# Domains that RFC 2606 and RFC 6761 set aside for examples: nobody's mailbox.
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net|edu|co\.kr|kr))?|test|invalid|localhost|local|internal)$", re.IGNORECASE)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[ A-Z0-9]{11,38}")
_CAPITAL_NUMBER = re.compile(r"[A-Z][A-Z0-9]{6,17}(?![A-Za-z0-9])")
_KOREAN_PASSPORT = re.compile(r"[MSRODGTP][0-9]{8}|[MSROD][0-9]{3}[A-Z][0-9]{4}")
_NEW_KOREAN_PASSPORT = re.compile(r"M[0-9]{3}[A-Z][0-9]{4}")
_PASSPORT_WORDS = re.compile(r"여권|passport", re.IGNORECASE)
_PASSPORT_NUMBER = re.compile(r"(?<![A-Za-z0-9])(?:[A-Z]{1,2}[0-9]{6,8}|[A-Z][0-9]{3}[A-Z][0-9]{4}|[0-9]{9})(?![A-Za-z0-9])", re.IGNORECASE)
_BRITISH_LICENCE = re.compile(r"[A-Z9]{5}[0-9][0156][0-9][0-3][0-9][0-9][A-Z9]{2}[A-Z0-9]{3}")
_LICENCE_WORDS = re.compile(r"driver'?s?'? (?:licen[cs]e|permit)|driving licen[cs]e|\bD\.?L\.?(?: no| number|#|:)|licen[cs]e (?:no\b|number|num|#|is)|운전\s?면허|면허\s?번호", re.IGNORECASE)
_LICENCE_NUMBER = re.compile(r"(?<![A-Za-z0-9])(?:[A-Z]{0,3}[ \-]?[0-9][0-9A-Z]{3,16}(?:[ \-][0-9A-Z]{2,8}){0,3})(?![A-Za-z0-9])")
_KOREAN_REGION_LICENCE = re.compile(
    r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)[ \-]?(?:[0-9]{2})[ \-][0-9]{6}[ \-][0-9]{2}(?![0-9])"
)
_NATIONAL_INSURANCE = re.compile(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![A-Za-z0-9])")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")


def find_identifiers(text: str) -> Iterator[Span]:
    """Every span that some rule here makes a claim to; claims may overlap (see personal_data)."""
    yield from _emails(text)
    if any(character.isdigit() for character in text):
        yield from _capital_numbers(text)
        yield from _labelled(text, _PASSPORT_WORDS, _PASSPORT_NUMBER, "passport")
        yield from _labelled(text, _LICENCE_WORDS, _LICENCE_NUMBER, "driver_licence")
        for match in _KOREAN_REGION_LICENCE.finditer(text):
            yield Span("driver_licence", *match.span(), 0.9, "region, 2-6-2")
    if text.count(":") >= 2:
        yield from _ipv6(text)


def _emails(text: str) -> Iterator[Span]:
    for at in _AT.finditer(text):
        local = _LOCAL.search(text, max(0, at.start() - 64), at.start())
        domain = _DOMAIN.match(text, at.end(), min(len(text), at.end() + 254))
        if local is None or domain is None:
            continue
        written = re.sub(r" ?[(\[{]\s?(?:dot|점|닷)\s?[)\]}] ?| dot | ?[점닷] ?", ".", domain[0])
        if not _RESERVED.search(written):
            yield Span("email", local.start(), domain.end(), 0.95, "address")


def _capital_numbers(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        piece = match[0]
        # The pattern may run into the next word: the country's length says where the number ends.
        for stop in range(len(piece), 14, -1):
            if piece[stop - 1] != " " and iban_checks(piece[:stop].replace(" ", "")):
                yield Span("iban", match.start(), match.start() + stop, 1.0, "check digits")
                break
    for match in _CAPITAL_NUMBER.finditer(text):
        start = match.start()
        if start and text[start - 1].isascii() and text[start - 1].isalnum():
            continue
        if _KOREAN_PASSPORT.fullmatch(match[0]):
            if _NEW_KOREAN_PASSPORT.fullmatch(match[0]) or _near(text, _PASSPORT_WORDS, *match.span()):
                yield Span("passport", *match.span(), 0.85, "Korean passport")
        elif _BRITISH_LICENCE.fullmatch(match[0]):
            yield Span("driver_licence", *match.span(), 0.9, "British licence")
    for match in _NATIONAL_INSURANCE.finditer(text):
        start = match.start()
        if not (start and text[start - 1].isalnum()):
            yield Span("national_insurance", *match.span(), 0.85, "two letters, six digits, a letter")


def _labelled(text: str, words: re.Pattern[str], number: re.Pattern[str], kind: str) -> Iterator[Span]:
    for label in words.finditer(text):
        for match in number.finditer(text, label.end(), min(len(text), label.end() + 60)):
            if sum(character.isdigit() for character in match[0]) >= 5 and "\n\n" not in text[label.end() : match.start()]:
                yield Span(kind, *match.span(), 0.7, "number after its label")
                break


def _near(text: str, words: re.Pattern[str], start: int, end: int) -> bool:
    return words.search(text, max(0, start - 60), min(len(text), end + 30)) is not None


def _ipv6(text: str) -> Iterator[Span]:
    for match in _IPV6.finditer(text):
        if len(match[0]) < 8:
            continue
        try:
            public = ipaddress.ip_address(match[0]).is_global
        except ValueError:
            continue
        if public:
            yield Span("ip_address", *match.span(), 0.8, "public IPv6")
