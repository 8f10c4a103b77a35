"""Reads digits that are written as words (공일공 일이삼사 …, zero one zero …), with the way back to the text."""

from __future__ import annotations

import re

_KOREAN = dict(zip("공영일이삼사오육륙칠팔구빵", "0012345667890", strict=True))
_ENGLISH = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
# Nine digits at least, one of them a word: shorter runs of these syllables are ordinary words.
_KOREAN_RUN = re.compile("[공영0][0-9공영일이삼사오육륙칠팔구빵 \\-.,]{8,60}")
_ENGLISH_RUN = re.compile(
    r"\b(?:(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|[0-9])[ ,\-]{1,2}){8,20}"
    r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|[0-9])\b"
)
_MOBILE = re.compile(r"01[016789][0-9]{7,8}")


def written_phones(text: str, low: str) -> list[tuple[int, int]]:
    """Where a phone number is written out in words."""
    found = []
    for run in _KOREAN_RUN.finditer(text):
        places = [
            (index, _KOREAN.get(text[index], text[index])) for index in range(*run.span()) if text[index] not in " -.,"
        ]
        digits = "".join(digit for _, digit in places)
        match = _MOBILE.match(digits)
        if match is not None and not all(text[index].isdigit() for index, _ in places):
            found.append((run.start(), places[match.end() - 1][0] + 1))
    if sum(word in low for word in _ENGLISH) < 4:
        return found
    for run in _ENGLISH_RUN.finditer(low):
        words = re.findall(r"[a-z]+|[0-9]", run[0])
        if sum(word in _ENGLISH for word in words) >= 5 and 9 <= len(words) <= 15:
            found.append(run.span())
    return found
