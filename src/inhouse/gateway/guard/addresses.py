"""Finds postal addresses: Korean (road and lot forms), American, British and other European ones.

Works on the plain reading. Each is anchored on its number, then read outwards over a bounded stretch; a road
name alone is no address: a region, a label or a flat must stand with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inhouse.gateway.guard.verdict import Span

_BEFORE, _AFTER = 48, 60

# --- Korean -------------------------------------------------------------------------------------------------

_ANCHOR = re.compile(r"[로길동리가읍면](?: ?지하| ?산)? ?[0-9]{1,4}(?![0-9])")
_FLAT_ANCHOR = re.compile(r"[0-9]{1,4}동,? ?[0-9]{1,4}호")
_PROVINCE = (
    r"(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주|충청[남북]|전라[남북]|"
    r"경상[남북])"
    r"(?:특별자치시|특별자치도|특별시|광역시|도|시)?"
)
_ROAD = re.compile(r"[가-힣0-9·.]{1,14}[로길동리가읍면]$")
_AREA = re.compile(rf"(?:{_PROVINCE}|[가-힣]{{1,6}}[시군구])$")
_DISTRICT = re.compile(r"[가-힣0-9]{1,6}[읍면동리]$")
_TAIL = re.compile(
    r"(?: ?지하| ?산)? ?[0-9]{1,4}(?:-[0-9]{1,4})?"
    r"(?:(?:번|가)?길 ?[0-9]{1,4}(?:-[0-9]{1,4})?)?(?:가 [0-9]{1,4}(?:-[0-9]{1,4})?)?"
    r"(?:번지)?(?:,? ?\([가-힣0-9A-Za-z ,]{1,30}\))?"
    r"(?:,? ?[가-힣A-Za-z0-9]{1,14}(?:아파트|빌딩|타워|빌라|오피스텔|맨션|연립|주택|센터|하이츠|파크|캐슬|자이|"
    r"래미안|힐스테이트|푸르지오|더샵|아이파크|상가))?"
    r"(?:,? ?[0-9A-Za-z]{1,4}동(?![가-힣]))?(?:,? ?(?:지하 ?)?[0-9B]{1,3}층)?(?:,? ?[0-9A-Za-z]{1,5}호)?(?: "
    r"?\([가-힣0-9 ,]{1,20}\))?"
)
_NOT_A_ROAD = re.compile(
    r"(?:으로|대로는|[시도군구]로|서로|별로|새로|바로|주로|경로|진로|회로|도로|통로|선로|항로|따로|그대로|활동|행동|"
    r"자동|운동|이동|변동|관리|정리|처리|수리|거리|추가|증가|평가|평균|가|화면|장면|측면|반면|하면|되면)$"
)
_KOREAN_LABEL = re.compile(
    r"(?:주소|거주|사는|살고|살아|배송|자택|본적|소재지|등본|이사|받는 ?곳|보내실 ?곳|위치|수령지|주거지|집은|"
    r"방문)[^\n]{0,14}$"
)
_FLAT = re.compile(r"(?:[0-9A-Za-z]{1,4}동|[0-9B]{1,3}층|[0-9A-Za-z]{1,5}호)")

# --- English and European -----------------------------------------------------------------------------------

_NUMBER = re.compile(r"[0-9]{1,6}[A-Za-z]?,? (?=[A-ZÀ-Þ1-9])")
_STREET = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|Highway|"
    r"Hwy|Parkway|Pkwy|"
    r"Square|Sq|Circle|Cir|Close|Crescent|Cres|Gardens|Row|Mews|Loop|Trail|Trl|Alley|Plaza|Pike|Walk|Grove|Hill|Park|"
    r"Broadway|Quay|Ridge|"
    r"Vista|Path|Run|Pass|Bend|Cove|Creek|Heights|Hollow|Landing|Manor|Meadow|Point|Turnpike|Valley|View|Green|"
    r"Parade|Rise|Wharf)"
)
_WORD = r"(?:[A-ZÀ-Þ][\w'’.\-]{0,24}|[1-9][0-9]{0,2}(?:st|nd|rd|th)|of|the|de|la|du|des|van|der)"
_UNIT = (
    r"(?:,? ?(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Building|Bldg|P\.?O\.? Box|"
    r"#)\.? ?#?[A-Z]?[0-9]{0,5}[A-Z]?)?"
)
_CITY = (
    rf"(?:[,\n]{{1,2}} ?{_WORD}(?: {_WORD}){{0,3}})?(?:,? ?\n? ?(?:[A-Z]{{2}}|"
    rf"[A-Z][a-z]{{3,12}}))?(?:,? [0-9]{{5}}(?:-[0-9]{{4}})?|,? ?\n? ?[A-Z]{{1,2}}[0-9][A-Z0-9]? [0-9][A-Z]{{2}})?"
)
_AMERICAN = re.compile(
    rf"[0-9]{{1,6}}[A-Za-z]?,? (?:[NSEW]\.? |North |South |East |West )?(?:{_WORD} ){{0,4}}{_STREET}\b\.?(?: (?:NE|"
    rf"NW|SE|SW|[NSEW])\b)?{_UNIT}{_CITY}"
)
_EUROPEAN = re.compile(
    r"(?:[A-ZÀ-Þ][\w\-]{1,24}(?:stra(?:ss|ß)e|gasse|weg|platz|allee|damm|ufer|gatan|vägen|vegen|veien|gata|katu|tie|"
    r"tänav|laan|straat|plein|"
    r"ulica|gade|vej|vegur|utca)|(?:Rue|Via|Calle|Avenida|Rua|Piazza|Viale|Corso|Avenue|Boulevard|Plaza|ul\.|Ulica|"
    r"Strada|Largo|Paseo|Quai)"
    r"(?: (?:de|du|des|della|del|la|le|dei|da|do|d')){0,2}(?: [A-ZÀ-Þ][\w'’\-]{1,20}){1,3}),? [0-9]{1,4}[A-Za-z]?"
    rf"(?:,? [0-9]{{4,5}}(?:[ \-][0-9A-Z]{{2,3}})? {_WORD}(?: {_WORD}){{0,2}})?"
)
_PO_BOX = re.compile(r"(?:P\.? ?O\.? ?Box|PSC|Unit|CMR) [0-9]{1,6}(?:,? (?:Box|APO|FPO|DPO)[ A-Z0-9]{0,14})?")
_BOX_WORDS = ("Box", "PSC", "CMR")
_STATE_ZIP = re.compile(
    r"[A-Z][A-Za-z.'\-]{1,20}(?: [A-Z][A-Za-z.'\-]{1,20}){0,2},? (?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|"
    r"M[ADEINOST]|"
    r"N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]),? [0-9]{5}(?:-[0-9]{4})?(?![0-9])"
)
_UNIT_ANCHOR = re.compile(r"(?:Apt|Apartment|Suite|Ste|Flat|apt|suite)\.? #?[0-9]{1,5}[A-Za-z]?(?![0-9])")
_ANY = r"[^\W\d_][\w'’.\-]{0,24}"
_BEFORE_UNIT = re.compile(
    rf"(?:[0-9]{{1,6}}[A-Za-z]?,?\s{{1,3}}){{0,2}}(?:{_ANY}\s){{0,4}}{_ANY},?\s(?:[0-9]{{1,5}}[A-Za-z]?\.?,?\s{{1,3}})?$|"
    rf"[0-9]{{1,6}}\s(?:{_ANY}\s){{1,4}}$"
)
_AFTER_UNIT = re.compile(
    rf"(?:\s{{0,2}}[,\n]\s{{0,6}}{_ANY}(?: {_ANY}|"
    rf", [A-Z]{{2}}){{0,2}}){{0,3}}(?:\s{{1,4}}[0-9]{{4,6}}(?:-[0-9]{{3,4}})?(?![0-9]))?"
)
_LABEL = re.compile(
    r"(?:address(?:es)?(?: (?:is|of [^\n:,]{2,40} is|to|at|on file))?\s?[:=]?|(?:liv(?:e|es|ed|ing)|located|"
    r"resid(?:e|es|ed|ing)|based|office|house|home|office is|restaurant is|shop is|store is|you off|branch is) (?:at|"
    r"in|on)|"
    r"(?:ship(?:ped)?|deliver(?:ed)?|mail(?:ed)?|moved?|moving|relocat(?:ed|ing)|sent) (?:it |them |"
    r"this )?to(?: my (?:house|home|office) at)?\??)\s{1,3}"
)
_LABELLED = re.compile(
    rf"(?:[0-9]{{1,6}}[A-Za-z]?,? ){{1,2}}(?:{_ANY}[ ,]{{1,2}}){{1,5}}(?:[0-9]{{1,5}}[A-Za-z]?\b)?|"
    rf"(?:{_WORD} ){{1,4}}[0-9]{{1,5}}[A-Za-z]?\b"
    rf"{_UNIT}(?:[ ,\n]{{1,3}}(?:{_WORD}|[0-9]{{4,6}}(?:-[0-9]{{3,4}})?|[A-Z]{{2}})(?![A-Za-z'’])){{0,5}}"
)
_COUNTED = re.compile(
    r"[0-9]+ (?:days?|weeks?|months?|years?|hours?|minutes?|different|people|countries|cities|locations|times|"
    r"percent|items?|users?|of|or|and|to|a|the|more|other|new)\b"
)


def find_addresses(text: str, low: str) -> Iterator[Span]:
    """Every span that reads as a postal address; claims may overlap (see personal_data)."""
    yield from _korean(text)
    if low != text or "apt" in low or "address" in low:
        yield from _western(text, low)


def _korean(text: str) -> Iterator[Span]:
    for anchor in _ANCHOR.finditer(text):
        place = anchor.start() + 1  # after the last syllable of the road or district
        head = _head(text, place)
        tail = _TAIL.match(text, place, min(len(text), place + _AFTER))
        if head is None or tail is None:
            continue
        start, road, areas, districts = head
        lot = road[-1] in "동리가읍면"
        if not areas and _NOT_A_ROAD.search(road):
            continue
        sure = areas and (districts or not lot or areas > 1 or "번지" in tail[0] or "-" in tail[0])
        flat = not lot and _FLAT.search(tail[0]) is not None
        if sure or flat or _KOREAN_LABEL.search(text, max(0, start - 30), start) is not None:
            yield Span("address", start, tail.end(), 0.85, "Korean road or lot address")
    for match in _FLAT_ANCHOR.finditer(text):
        window = text[max(0, match.start() - _BEFORE) : match.start()]
        found = re.search(rf"{_PROVINCE} (?:[가-힣0-9]{{1,10}} ){{1,4}}$|[가-힣0-9A-Za-z]{{2,14}} ?$", window)
        yield Span(
            "address", match.start() - len(found[0]) if found else match.start(), match.end(), 0.7, "building and flat"
        )


def _head(text: str, place: int) -> tuple[int, str, int, int] | None:
    """What stands before a house number: where it begins, its road, how many cities or wards, how many districts."""
    line = max(0, place - _BEFORE, text.rfind("\n", max(0, place - _BEFORE), place) + 1)
    words = text[line:place].split(" ")
    road = words.pop().lstrip("([\"'")
    if _ROAD.match(road) is None:
        return None
    start, areas, districts = place - len(road), 0, 0
    while words and areas + districts < 4:
        word = words[-1].lstrip("([\"':,")
        if _AREA.match(word):
            areas += 1
        elif not areas and not districts and _DISTRICT.match(word):
            districts += 1
        else:
            break
        start -= len(word) + 1
        if word != words.pop():
            break
    return start, road, areas, districts


def _western(text: str, low: str) -> Iterator[Span]:
    for number in _NUMBER.finditer(text):
        if number.start() and text[number.start() - 1] in "0123456789.-":
            continue
        match = _AMERICAN.match(text, number.start(), min(len(text), number.start() + 160))
        if match is not None:
            yield Span("address", *match.span(), 0.85, "number and street")
    if any(word in text for word in _BOX_WORDS):
        for match in _PO_BOX.finditer(text):
            yield Span("address", *match.span(), 0.7, "post box")
    for match in _EUROPEAN.finditer(text):
        yield Span("address", *match.span(), 0.75, "European street and number")
    for match in _STATE_ZIP.finditer(text):
        yield Span("address", *match.span(), 0.75, "city, state and ZIP code")
    for unit in _UNIT_ANCHOR.finditer(text):
        head = _BEFORE_UNIT.search(text, max(0, unit.start() - 60), unit.start())
        tail = _AFTER_UNIT.match(text, unit.end(), unit.end() + 80)
        yield Span(
            "address", head.start() if head else unit.start(), tail.end() if tail else unit.end(), 0.7, "flat or suite"
        )
    for label in _LABEL.finditer(low):
        match = _LABELLED.match(text, label.end(), label.end() + 120)
        if match is not None and not _COUNTED.match(low, label.end()):
            yield Span(
                "address", match.start(), match.start() + len(match[0].rstrip(" ,\n")), 0.65, "after a word for address"
            )
