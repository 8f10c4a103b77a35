"""Reads the grammars under grammar/ and writes texts from them at random; knows no labels."""

from __future__ import annotations

import random
import re
from pathlib import Path

_HEADING = re.compile(r"\[((?:family: )?[a-z_ ]+)\]\s*")
_SLOT = re.compile(r"\{([^{}]*)\}")
_FAMILY = "family: "
# Korean particles by the form after a consonant and after a vowel.
_PAIRS = (("은", "는"), ("을", "를"), ("이", "가"), ("으로", "로"), ("과", "와"))
_PARTICLES = {particle: pair for pair in _PAIRS for particle in pair}


class Grammar:
    """The sections of one file: named lists of lines; those named "family: …" are whole texts."""

    def __init__(self, path: Path) -> None:
        self.sections: dict[str, list[str]] = {}
        name = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            heading = _HEADING.fullmatch(line)
            if heading:
                name = heading[1]
                self.sections[name] = []
            elif name and line:
                self.sections[name].append(line.replace("\\n", "\n"))
        self.families = [section.removeprefix(_FAMILY) for section in self.sections if section.startswith(_FAMILY)]

    def write(self, family: str, dice: random.Random) -> str:
        """One text of the family."""
        return self._expand(dice.choice(self.sections[_FAMILY + family]), dice)

    def write_part(self, section: str, dice: random.Random) -> str:
        """One line of a section that is a part of texts."""
        return self._expand(dice.choice(self.sections[section]), dice)

    def _expand(self, line: str, dice: random.Random) -> str:
        while slot := _SLOT.search(line):
            filled = self._fill(slot[1], line[: slot.start()], dice)
            line = line[: slot.start()] + filled + line[slot.end() :]
        return re.sub(r"([.!?])\.+", r"\1", line.translate({1: "{", 2: "}"})).strip()

    def _fill(self, inside: str, before: str, dice: random.Random) -> str:
        if inside in self.sections:
            return dice.choice(self.sections[inside])
        if "|" not in inside:
            return f"\1{inside}\2"  # braces of the text itself
        chosen = dice.choice(inside.split("|"))
        if chosen in self.sections:
            return dice.choice(self.sections[chosen])
        if chosen in _PARTICLES and before:
            consonant, vowel = _PARTICLES[chosen]
            return consonant if _ends_in_consonant(before, consonant) else vowel
        return chosen


def _ends_in_consonant(text: str, particle: str) -> bool:
    last = text.rstrip("'\"`)]")[-1:]
    if not "가" <= last <= "힣":
        return last.lower() in "lmnr013678"  # as the letter or digit is read aloud
    final = (ord(last) - ord("가")) % 28
    return final != 0 and not (particle == "으로" and final == 8)
