"""Notices that an answer repeats the system prompt, as it streams: word for word, spelt out, reversed, in rot13,
base64 or hex. A translation or a summary of the prompt is not noticed.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable

from inhouse.gateway.guard.normalise import INVISIBLE

_ENCODED = re.compile(r"[A-Za-z0-9+/_\-]{24,}={0,2}")
_MAX_ENCODED = 8192


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and digits in lower case, and where each stands: spacing, punctuation and dress do not matter."""
    kept: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character.isascii():
            if character.isalnum():
                kept.append(character.lower())
                places.append(place)
        elif not INVISIBLE.match(character):
            for plain in unicodedata.normalize("NFKC", character).lower():
                if plain.isalnum():
                    kept.append(plain)
                    places.append(place)
    return "".join(kept), places


class SystemPrompt:
    """A system prompt as it is looked for. `known` are texts that the reader wrote: no secret to them.

    Prompts under 40 letters are too ordinary to be told from other text, and are not looked for.
    """

    def __init__(self, text: str, known: Iterable[str] = ()) -> None:
        letters = _letters(text)[0]
        hangul = sum("가" <= character <= "힣" for character in letters)
        dense = hangul > len(letters) * 0.3  # a syllable says as much as two or three letters
        self.width = 9 if dense else 18
        self.limit = min(22 if dense else 50, max(self.width, int(len(letters) * 0.6)))
        self.watched = len(letters) >= (18 if dense else 40)
        theirs = {shingle for other in known for shingle in self._shingles(_letters(other)[0])}
        variants = [letters, letters[::-1]]
        if letters.isascii():
            variants.append(codecs.encode(letters, "rot13"))
        self.variants = [frozenset(self._shingles(variant)) - theirs for variant in variants] if self.watched else []
        self.size = len(self.variants[0]) if self.variants else 0

    def _shingles(self, letters: str) -> Iterable[str]:
        return (letters[index : index + self.width] for index in range(len(letters) - self.width + 1))


class LeakWatch:
    """Follows one answer. `feed` says how much of the pending text looks like the prompt so far."""

    def __init__(self, prompt: SystemPrompt) -> None:
        self._prompt = prompt
        self._tail = ""
        self._runs = [0] * len(prompt.variants)
        self._covered: list[set[str]] = [set() for _ in prompt.variants]
        self.leaked = False

    def feed(self, text: str) -> int:
        """Reads the next piece; how many of its last characters are part of a repetition that goes on."""
        letters, places = _letters(text)
        width = self._prompt.width
        joined = self._tail + letters
        before = len(self._tail)
        for number, shingles in enumerate(self._prompt.variants):
            run = self._runs[number]
            for end in range(max(before + 1, width), len(joined) + 1):
                shingle = joined[end - width : end]
                if shingle in shingles:
                    run += 1
                    self._covered[number].add(shingle)
                    if run + width - 1 >= self._prompt.limit:
                        self.leaked = True
                else:
                    run = 0
            self._runs[number] = run
            covered = len(self._covered[number])
            if covered >= max(self._prompt.limit - width, 1) and covered >= self._prompt.size // 2:
                self.leaked = True
        self._tail = joined[-(width - 1) :]
        if not any(self._runs):
            return 0
        # The run began `width - 1` letters before its first shingle ended; earlier pieces hold their own part.
        back = max(self._runs) + width - 1
        return len(text) - places[-back] if back <= len(places) else len(text)

    def holds_encoded(self, text: str) -> bool:
        """Whether the text holds the prompt in base64 or hex."""
        return any(self._decoded_leaks(match[0]) for match in _ENCODED.finditer(text))

    def _decoded_leaks(self, blob: str) -> bool:
        for decoded in decodings(blob[:_MAX_ENCODED]):
            watch = LeakWatch(self._prompt)
            watch.feed(decoded)
            if watch.leaked:
                return True
        return False


def decodings(blob: str) -> Iterable[str]:
    """What a run of base64 or hex characters says, where it says text."""
    candidates: list[bytes] = []
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", blob):
        candidates.append(bytes.fromhex(blob))
    # Whatever stands before the data may have run into it: try each of the four alignments.
    cleaned = blob.rstrip("=").replace("-", "+").replace("_", "/")
    for skip in range(4):
        piece = cleaned[skip:]
        piece = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
        try:
            candidates.append(base64.b64decode(piece + "=" * (-len(piece) % 4)))
        except (ValueError, binascii.Error):
            continue
    for candidate in candidates:
        try:
            text = candidate.decode("utf-8")
        except UnicodeDecodeError:
            # Cut in the middle of a character, at most.
            text = candidate.decode("utf-8", "ignore")
            if len(text.encode()) < len(candidate) * 0.9:
                continue
        if text and sum(character.isprintable() or character.isspace() for character in text) >= len(text) * 0.95:
            yield text
