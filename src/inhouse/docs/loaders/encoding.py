"""Which encoding a file's bytes are in, and their text. Knows no format but HTML's and XML's own naming.

Korean files come as UTF-8, CP949 (of which EUC-KR is a part) and UTF-16, often without a mark: the order of
the tests below is from what cannot be mistaken to what can.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from charset_normalizer import from_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SYLLABLES = frozenset(
    letter for letter in map(chr, range(ord("가"), ord("힣") + 1)) if len(letter.encode("euc_kr", "ignore")) == 2
)
_SAMPLE_BYTES = 64 * 1024
_NAMED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_COMMON = re.compile(r"[가-힣ㄱ-ㆎ一-鿿぀-ヿ\x20-\x7e\s·…“”‘’「」『』《》〈〉【】○●◎□■△▲▽▼◇◆※→←①-⑳℃㎡％～–—]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text and the encoding that it was in; `warnings` where bytes had to be replaced."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()


def decode(data: bytes, *, named: str | None = None) -> Decoded:
    """The text of some bytes. `named` is the encoding that the file itself claims, believed where it fits."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    for claimed in (named, "utf-8"):
        if claimed and (text := _strictly(data, _wider(claimed))) is not None:
            if "\0" in text:
                break  # UTF-16 reads as UTF-8 with many NULs
            return Decoded(text, _wider(claimed))
    return _decoded(data, _guess(data))


def named_encoding(data: bytes) -> str | None:
    """The encoding that an HTML or XML file names in its first kilobytes."""
    match = _NAMED.search(data[:4096])
    return match[1].decode("ascii") if match else None


def _guess(data: bytes) -> str:
    sample = data[:_SAMPLE_BYTES]
    wide = max(("utf-16-le", "utf-16-be"), key=lambda encoding: _plausible(sample, encoding))
    if len(sample) >= 4 and b"\0" in sample and _plausible(sample, wide) > 0.9:
        return wide
    # A cut at the end of the sample may split a character: that one error is no evidence.
    if sample.decode("utf-8", "replace").count("\ufffd") <= 1 + len(sample) // 2000:
        return "utf-8"
    if _plausible(sample, "cp949") > 0.9:
        return "cp949"
    if _plausible(sample, wide) > 0.95:  # wide text without a single space or line end has no NUL
        return wide
    best = from_bytes(sample).best()
    return best.encoding if best else "cp1252"


def _plausible(sample: bytes, encoding: str) -> float:
    """The share of characters that Korean, East Asian or English text is made of."""
    text = sample.decode(encoding, "replace")
    if not text:
        return 0.0
    if encoding == "cp949":
        # Shift_JIS and GBK bytes decode as CP949 too, but to hanja and to syllables beyond EUC-KR's 2,350.
        foreign = [letter for letter in text if letter > "\x7f"]
        common = sum(letter in _SYLLABLES for letter in foreign)
        if common < 0.5 * len(foreign):
            return 0.0
    return len(_COMMON.findall(text)) / len(text)


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _wider(encoding: str) -> str:
    """Files that name EUC-KR are mostly written in CP949, which holds it and more."""
    return "cp949" if encoding.lower().replace("_", "-") in {"euc-kr", "ks-c-5601-1987", "ksc5601"} else encoding


def _decoded(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    lost = text.count("\ufffd")
    warnings = (f"{lost} characters are not valid {encoding} and were replaced",) if lost else ()
    return Decoded(text.removeprefix("\ufeff"), encoding, warnings)
