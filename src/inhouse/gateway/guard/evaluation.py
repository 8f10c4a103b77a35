"""Measures the guard on labelled texts, and sets its thresholds on harmless ones. Knows no command line.

A data file is JSON lines: `text` (or `prompt`, `content`); `label` (1 an injection, 0 harmless; where it is said);
`as` ("user" or "document"; user where it is not said); `spans`, a list of {kind, start, end} of personal data
(an empty list: there is none).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inhouse.core.errors import UsageError
from inhouse.gateway.guard.injection import InjectionDetector
from inhouse.gateway.guard.injection_model import SOURCES, Source
from inhouse.gateway.guard.personal_data import PERSONAL_KINDS, find_personal_data

_TEXT_FIELDS = ("text", "prompt", "content")
_LEAST = 0.3
_ENOUGH = 100  # harmless texts under which a threshold says little


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row of a data file. None: the row does not say."""

    text: str
    source: Source
    injection: bool | None = None
    spans: tuple[tuple[str, int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % interval (Wilson)."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Within which the true share lies, 19 times of 20."""
        if not self.of:
            return None
        z, n, p = 1.96, self.of, self.hits / self.of
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


@dataclass(frozen=True, slots=True)
class Quality:
    """What an evaluation found; shares of nothing where the data says nothing of it.

    `caught` and `false_alarms` are of injections and of harmless texts; `recall` of personal data by kind (a span
    counts as found where a finding of its kind touches it), `clean_flagged` of texts with none.
    """

    caught: Share
    false_alarms: Share
    recall: Mapping[str, Share]
    recall_all: Share
    clean_flagged: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold at which the wanted share of the harmless texts is taken for injections."""

    source: Source
    threshold: float
    texts: int
    flagged: Share
    flagged_before: Share
    """With the threshold that was in force."""

    @property
    def few(self) -> bool:
        """Whether there were too few texts to trust it."""
        return self.texts < _ENOUGH


def read_labelled(path: Path) -> list[Labelled]:
    """The rows of a data file.

    Raises:
        UsageError: the file cannot be read, or a row cannot be used; names the line.
    """
    rows = []
    for number, row in enumerate(_json_lines(path), 1):
        try:
            rows.append(_labelled(row))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}, line {number}, cannot be used", why=str(error)) from None
    return rows


def read_texts(path: Path) -> list[str]:
    """Texts to calibrate on: each row's of a .jsonl file, any other file as one text."""
    if path.suffix in (".jsonl", ".ndjson"):
        return [row.text for row in read_labelled(path)]
    return [_content(path)]


def evaluate(rows: Sequence[Labelled], detector: InjectionDetector, thresholds: Mapping[Source, float]) -> Quality:
    """Runs the detectors over the rows and counts."""
    caught, alarms, found, clean = Counter[bool](), Counter[bool](), Counter[tuple[str, bool]](), Counter[bool]()
    for row in rows:
        if row.injection is not None:
            hit = detector.inspect(row.text, row.source).score >= thresholds[row.source]
            (caught if row.injection else alarms)[hit] += 1
        if row.spans is not None:
            findings = find_personal_data(row.text)
            if not row.spans:
                clean[bool(findings)] += 1
            for kind, start, end in row.spans:
                hit = any(span.kind == kind and span.start < end and start < span.end for span in findings)
                found[kind, hit] += 1
    kinds = [kind for kind in PERSONAL_KINDS if found[kind, True] + found[kind, False]]
    recall = {kind: Share(found[kind, True], found[kind, True] + found[kind, False]) for kind in kinds}
    return Quality(
        caught=Share(caught[True], caught.total()),
        false_alarms=Share(alarms[True], alarms.total()),
        recall=recall,
        recall_all=Share(sum(share.hits for share in recall.values()), sum(share.of for share in recall.values())),
        clean_flagged=Share(clean[True], clean.total()),
    )


def calibrate(
    texts: Sequence[str], source: Source, detector: InjectionDetector, threshold: float, target: float
) -> Calibration:
    """The lowest threshold that at most the share `target` of the harmless texts reaches.

    Not under 0.3: texts that are all alike would ask for one that everything else reaches.
    """
    scores = sorted((detector.inspect(text, source).score for text in texts), reverse=True)
    allowed = int(target * len(scores))
    # Just over the first score that may not pass; the score itself stays below.
    wanted = min(0.999, max(_LEAST, scores[allowed] + 1e-4)) if scores else threshold
    return Calibration(
        source=source,
        threshold=round(wanted, 4),
        texts=len(scores),
        flagged=Share(sum(score >= wanted for score in scores), len(scores)),
        flagged_before=Share(sum(score >= threshold for score in scores), len(scores)),
    )


def _labelled(row: Mapping[str, Any]) -> Labelled:
    text = next((row[field] for field in _TEXT_FIELDS if isinstance(row.get(field), str)), None)
    if text is None:
        raise ValueError(f"it has none of the fields {', '.join(_TEXT_FIELDS)}")
    source = row.get("as", "user")
    if source not in SOURCES:
        raise ValueError(f'"as" is {source!r}, not one of {", ".join(SOURCES)}')
    label = row.get("label")
    if label not in (None, 0, 1, True, False):
        raise ValueError(f'"label" is {label!r}, not 0 or 1')
    spans = row.get("spans")
    return Labelled(
        text,
        source,
        None if label is None else bool(label),
        None if spans is None else tuple((str(span["kind"]), int(span["start"]), int(span["end"])) for span in spans),
    )


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(_content(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}, is no JSON", why=str(error)) from None
        if not isinstance(row, dict):
            raise UsageError(f"{path}, line {number}, is no JSON object")
        yield row


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or str(error)) from None
