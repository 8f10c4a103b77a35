"""Finds personal data in a text: asks every detector, then settles which claim each character belongs to.

Knows no policy. Positions are those of the text as it was given, whatever tricks it uses.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from inhouse.gateway.guard.addresses import find_addresses
from inhouse.gateway.guard.identifiers import find_identifiers
from inhouse.gateway.guard.names import bare_names, find_names
from inhouse.gateway.guard.normalise import Plain, lower, plain
from inhouse.gateway.guard.numbers import find_numbers
from inhouse.gateway.guard.verdict import Span
from inhouse.gateway.guard.written_digits import written_phones

# Every kind, strongest claim first: where two spans of the same score overlap, the earlier kind wins.
PERSONAL_KINDS = (
    "resident_number",
    "foreigner_number",
    "iban",
    "card",
    "ssn",
    "business_number",
    "driver_licence",
    "passport",
    "national_insurance",
    "routing_number",
    "email",
    "phone",
    "account",
    "birth_date",
    "ip_address",
    "address",
    "name",
)
# What an answer is searched for while it streams: kinds whose pattern is short and needs no line around it.
COMPACT_KINDS = frozenset(PERSONAL_KINDS) - {"address", "name"}

_RANK = {kind: rank for rank, kind in enumerate(PERSONAL_KINDS)}
_BESIDE = 24
_STRONG = frozenset(
    {
        "resident_number",
        "foreigner_number",
        "card",
        "phone",
        "email",
        "account",
        "passport",
        "driver_licence",
        "birth_date",
    }
)

_DETECTORS: tuple[tuple[frozenset[str], Callable[[str, str], Iterable[Span]]], ...] = (
    (
        frozenset(
            [
                "resident_number",
                "foreigner_number",
                "card",
                "ssn",
                "business_number",
                "driver_licence",
                "routing_number",
                "phone",
                "account",
                "birth_date",
                "ip_address",
            ]
        ),
        find_numbers,
    ),
    (frozenset({"iban", "email", "passport", "driver_licence", "national_insurance", "ip_address"}), find_identifiers),
    (
        frozenset({"phone"}),
        lambda text, low: [Span("phone", *span, 0.8, "written out") for span in written_phones(text, low)],
    ),
    (frozenset({"address"}), find_addresses),
    (frozenset({"name"}), find_names),
)


def find_personal_data(text: str, kinds: Collection[str] = PERSONAL_KINDS) -> list[Span]:
    """The personal data of these kinds in the text, in order, none overlapping another."""
    reading = plain(text)
    low = lower(reading.text)
    wanted = frozenset(kinds)
    claims = [
        span
        for may_find, detect in _DETECTORS
        if may_find & wanted
        for span in detect(reading.text, low)
        if span.kind in wanted
    ]
    settled = _settle(claims)
    if "name" in wanted and settled:
        settled = _settle([*settled, *_names_beside(reading.text, settled)])
    return [_in_original(reading, span) for span in settled]


def _settle(claims: list[Span]) -> list[Span]:
    """Keeps the strongest claim on each stretch; of addresses that overlap, their union."""
    starts: list[int] = []
    taken: list[Span] = []
    for claim in sorted(_joined(claims), key=lambda span: (_RANK[span.kind], -span.score, span.start - span.end)):
        place = bisect_right(starts, claim.start)
        free_before = place == 0 or taken[place - 1].end <= claim.start
        if free_before and (place == len(taken) or claim.end <= starts[place]):
            starts.insert(place, claim.start)
            taken.insert(place, claim)
    return taken


def _joined(claims: list[Span]) -> list[Span]:
    others = [claim for claim in claims if claim.kind != "address"]
    addresses: list[Span] = []
    for claim in sorted((claim for claim in claims if claim.kind == "address"), key=lambda span: span.start):
        if addresses and claim.start < addresses[-1].end:
            last = addresses[-1]
            addresses[-1] = replace(last, end=max(last.end, claim.end), score=max(last.score, claim.score))
        else:
            addresses.append(claim)
    return others + addresses


def _names_beside(text: str, found: list[Span]) -> Iterator[Span]:
    """Names that stand alone, but close to a number or an address that only people have: 김민수 010-…"""
    for span in found:
        if span.kind in _STRONG:
            yield from bare_names(text, max(0, span.start - _BESIDE), span.start)
            yield from bare_names(text, span.end, min(len(text), span.end + _BESIDE))


def _in_original(reading: Plain, span: Span) -> Span:
    if reading.starts is None:
        return span
    return Span(span.kind, *reading.span(span.start, span.end), span.score, span.rule)
