"""Korean particles: which of 을/를, 이/가, 은/는, 과/와, 으로/로 follows a word, by the word's final sound.

Knows Hangul, digits, Latin letters and units of size and time; knows nothing of messages.
"""

from __future__ import annotations

import re
from typing import Literal

Sound = Literal["vowel", "rieul", "consonant"]

PARTICLES: dict[str, tuple[str, str]] = {
    "을(를)": ("을", "를"),
    "이(가)": ("이", "가"),
    "은(는)": ("은", "는"),
    "과(와)": ("과", "와"),
    "(으)로": ("으로", "로"),
}
"""How a text writes an open particle, and what it becomes after a consonant and after a vowel."""

# Read out: 영 일 이 삼 사 오 육 칠 팔 구; a number that ends in zeros ends in 십, 백, 천, 만: a consonant too.
_DIGITS_BY_SOUND: tuple[tuple[Sound, str], ...] = (("consonant", "036"), ("rieul", "178"), ("vowel", "2459"))
_DIGITS: dict[str, Sound] = {digit: sound for sound, digits in _DIGITS_BY_SOUND for digit in digits}
# Letters read by name: 엘, 알 end in ㄹ; 엠, 엔 in a consonant; all others in a vowel.
_LETTERS: dict[str, Sound] = {"l": "rieul", "r": "rieul", "m": "consonant", "n": "consonant"}
_UNITS = re.compile(r"(?:^|[\d\s])(ms|s|[kMGT]?B(/s)?)$")  # 밀리초, 초, 메가바이트: all end in a vowel


def attach(word: str, particle: str) -> str:
    """The word with its particle: 모델 and 을(를) make 모델을."""
    after_consonant, after_vowel = PARTICLES[particle]
    sound = final_sound(word)
    # ㄹ counts as a consonant, except before 로: "서울로", "7로".
    open_ended = sound == "vowel" or (sound == "rieul" and particle == "(으)로")
    return word + (after_vowel if open_ended else after_consonant)


def final_sound(word: str) -> Sound:
    """How the word ends when read aloud; closing brackets, quotes and signs are silent, % is 퍼센트."""
    spoken = re.sub(r"[^\w%]+$", "", word)
    if not spoken or spoken.endswith("%") or _UNITS.search(spoken):
        return "vowel"
    last = spoken[-1]
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return "vowel" if final == 0 else "rieul" if final == 8 else "consonant"
    if last in _DIGITS:
        return _DIGITS[last]
    latin = re.search(r"[A-Za-z]+$", spoken)
    return _latin(latin.group()) if latin else "vowel"


def _latin(word: str) -> Sound:
    """Abbreviations are read by letter, words by sound: an approximation that suits model and product names."""
    lower = word.lower()
    if len(word) == 1 or word[-2:].isupper() or not re.search(r"[aeiouy]", lower):
        return _LETTERS.get(lower[-1], "vowel")
    if lower.endswith(("l", "le")):  # model 모델, table 테이블
        return "rieul"
    # python 파이썬, name 네임; chat 챗, stack 스택, outlook 아웃룩
    return "consonant" if re.search(r"(m|n|ng|me|ne|ck|ook|[^aeiou][aeiou][cpt])$", lower) else "vowel"
