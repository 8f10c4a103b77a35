"""How well the guard finds personal data and injections, on sets of others and on texts written for this.

Korean personal data: recall at least 0.95 on forms that the detectors were not written by, plain and dressed up, with
at most 2 % of clean documents flagged. English: recall at least 0.95 on numbers and e-mail addresses. Injections in
guard_data/, buried in documents: at least 70 % caught at no more than 2 % false alarms; harmless prompts full of
trigger words: at most 5 % blocked. The files unseen_… were written after the training texts and never used to change
them; the others were looked at while they were written. Sets in --shared are measured where they are there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from inhouse.gateway.guard.evaluation import Share
from inhouse.gateway.guard.injection import InjectionDetector
from inhouse.gateway.guard.injection_model import Source
from inhouse.gateway.guard.personal_data import find_personal_data
from korean_documents import CLEAN, FORMS_A, FORMS_B, Document, clean_documents, documents

HERE = Path(__file__).parent
ENGLISH_KINDS = {
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
    "US_DRIVER_LICENSE": "driver_licence",
    "IP_ADDRESS": "ip_address",
}
ENGLISH_HARDER = {"STREET_ADDRESS": "address", "PERSON": "name"}
_TARGET_RECALL, _TARGET_FLAGGED, _TARGET_CAUGHT, _TARGET_ALARMS, _TARGET_BLOCKED = 0.95, 0.02, 0.70, 0.02, 0.05


class Score:
    """Prints each figure and remembers which missed its bar."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def say(self, name: str, share: Share, *, least: float | None = None, most: float | None = None) -> None:
        """One figure with its interval, and its bar where it has one."""
        if share.value is None or share.interval is None:
            print(f"{name}: nothing to measure")
            return
        low, high = share.interval
        bar = (
            f", bar {least:.0%} or more"
            if least is not None
            else f", bar {most:.0%} or less"
            if most is not None
            else ""
        )
        print(f"{name}: {share.value:.1%} ({low:.1%} to {high:.1%}, n={share.of}{bar})")
        if (least is not None and share.value < least) or (most is not None and share.value > most):
            self.missed.append(name)


def main() -> int:
    """Prints every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared/data", help="data sets of others")
    parser.add_argument("--full", action="store_true", help="all texts of the large sets")
    options = parser.parse_args()
    score = Score()
    korean_personal_data(score)
    if (options.shared / "pii_english").exists():
        english_personal_data(score, options.shared)
    injections(score, options.shared, 10_000 if options.full else 300)
    if score.missed:
        print("missed: " + "; ".join(score.missed))
    print(f"guard quality: {len(score.missed)} figures under their bars")
    return int(bool(score.missed))


# --- personal data --------------------------------------------------------------------------------------


def korean_personal_data(score: Score) -> None:
    """The generator's documents: by kind, plain and dressed up, and clean ones."""
    for name, forms in (("A (known forms)", FORMS_A), ("B (unknown forms)", FORMS_B)):
        for tricks in (False, True):
            by_kind = recall(documents(forms, 400, 11, tricks=tricks))
            total = Share(sum(one.hits for one in by_kind.values()), sum(one.of for one in by_kind.values()))
            score.say(f"Korean personal data {name}{', dressed up' if tricks else ''}", total, least=_TARGET_RECALL)
            weak = {kind: one for kind, one in by_kind.items() if (one.value or 0) < _TARGET_RECALL}
            for kind, one in weak.items():
                score.say(f"  {kind}", one)
    flagged = [bool(find_personal_data(document.text)) for document in clean_documents(400, 12)]
    score.say("Korean clean documents flagged", Share(sum(flagged), len(flagged)), most=_TARGET_FLAGGED)


def recall(group: Iterable[Document]) -> dict[str, Share]:
    """By kind, the share of spans that a finding of the kind touches."""
    hits, total = Counter[str](), Counter[str]()
    for document in group:
        found = find_personal_data(document.text)
        for kind, start, end in document.spans:
            total[kind] += 1
            hits[kind] += any(span.kind == kind and span.start < end and start < span.end for span in found)
    return {kind: Share(hits[kind], total[kind]) for kind in total}


def english_personal_data(score: Score, shared: Path) -> None:
    """Presidio's synthetic set, and documents of others that hold none."""
    rows = json.loads((shared / "pii_english/synth_dataset_v2.json").read_text(encoding="utf-8"))
    kinds = ENGLISH_KINDS | ENGLISH_HARDER
    group = [
        Document(
            row["full_text"],
            tuple(
                (kinds[span["entity_type"]], span["start_position"], span["end_position"])
                for span in row["spans"]
                if span["entity_type"] in kinds
            ),
        )
        for row in rows
    ]
    by_kind = recall(group)
    numbers = [by_kind[kind] for kind in ENGLISH_KINDS.values()]
    total = Share(sum(one.hits for one in numbers), sum(one.of for one in numbers))
    score.say("English personal data, numbers and e-mail", total, least=_TARGET_RECALL)
    for kind in ENGLISH_HARDER.values():
        score.say(f"English personal data, {kind}", by_kind[kind])
    clean = [row["full_text"] for row in rows if not row["spans"]]
    clean += [text for path in sorted(shared.glob("company_docs_en/*.md")) for text in parts(path)]
    clean += [text for path in sorted(shared.glob("manual_fastapi_*/**/*.md")) for text in parts(path)]
    flagged = sum(bool(find_personal_data(text)) for text in clean)
    score.say("clean documents flagged (manuals and policies)", Share(flagged, len(clean)), most=_TARGET_FLAGGED)


def parts(path: Path, size: int = 1500) -> list[str]:
    """The file in pieces of about so many characters."""
    text = path.read_text(encoding="utf-8")
    return [text[at : at + size] for at in range(0, len(text), size)]


# --- injections -----------------------------------------------------------------------------------------


def injections(score: Score, shared: Path, most: int) -> None:
    """The attacks written for this, alone and buried; harmless prompts; documents and prompts of others."""
    detector, dice = InjectionDetector.shipped(), random.Random(13)
    passages = read_passages(shared) or ["\n\n".join(dice.sample(CLEAN, 4)) for _ in range(60)]
    english = [text for path in sorted(shared.glob("manual_fastapi_en/**/*.md")) for text in parts(path)] or passages
    for prefix, known in (("", "known"), ("unseen_", "unseen")):
        for language, hosts in (("en", english), ("ko", passages)):
            attacks = lines(f"{prefix}attacks_{language}.txt")
            buried = [bury(attack, dice.choice(hosts), dice) for attack in attacks for _ in range(3)]
            name = f"injections {language} ({known})"
            score.say(f"{name}, as a user's text", caught(detector, attacks, "user"))
            score.say(f"{name}, buried in a document", caught(detector, buried, "document"), least=_TARGET_CAUGHT)
            calm = lines(f"{prefix}harmless_{language}.txt")
            blocked = caught(detector, calm, "user")
            score.say(f"harmless prompts with trigger words {language} ({known})", blocked, most=_TARGET_BLOCKED)
    for name, source, texts in harmless_of_others(shared, dice, most):
        bar = _TARGET_ALARMS if source == "document" else _TARGET_BLOCKED
        score.say(f"{name} flagged as a {source}'s", caught(detector, texts, source), most=bar)


def caught(detector: InjectionDetector, texts: Sequence[str], source: Source) -> Share:
    """How many of the texts reach the shipped threshold."""
    threshold = detector.user_threshold if source == "user" else detector.document_threshold
    return Share(sum(detector.inspect(text, source).score >= threshold for text in texts), len(texts))


def bury(attack: str, host: str, dice: random.Random) -> str:
    """The attack between two lines or sentences of the host."""
    places = [index + 1 for index, mark in enumerate(host) if mark in ".\n"] or [len(host)]
    place = dice.choice(places)
    return f"{host[:place]} {attack}\n{host[place:]}"


def lines(name: str) -> list[str]:
    """The lines of a file in guard_data/."""
    return (HERE / "guard_data" / name).read_text(encoding="utf-8").splitlines()


def read_passages(shared: Path) -> list[str]:
    """Korean encyclopedia passages (for evaluation only; the classifier never saw them)."""
    path = shared / "korean_qa_retrieval/passages.jsonl"
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [next(value for key, value in row.items() if key in ("text", "passage", "context")) for row in rows]


def harmless_of_others(shared: Path, dice: random.Random, most: int) -> Iterable[tuple[str, Source, list[str]]]:
    """Texts that the classifier was not trained on: its training texts are taken out."""
    trained = set()
    with gzip.open(HERE.parent / "training/guard/data/benign.jsonl.gz", "rt", encoding="utf-8") as file:
        trained = {json.loads(line)["text"] for line in file}

    def some(texts: Iterable[str]) -> list[str]:
        fresh = [text for text in dict.fromkeys(texts) if text not in trained and len(text.strip()) > 8]
        return dice.sample(fresh, min(most, len(fresh)))

    names = {"vue_ko": "a manual (ko)", "basecamp_policies": "a company's policies (en)"}
    with gzip.open(HERE / "guard_data/documents.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for source, name in names.items():
        yield name, "document", [row["text"] for row in rows if row["source"] == source]
    passages = read_passages(shared)
    if passages:
        yield "encyclopedia passages (ko)", "document", some(passages)
        yield (
            "encyclopedia, eight passages each (ko)",
            "document",
            ["\n\n".join(passages[at : at + 8]) for at in range(0, len(passages), 8)],
        )
    path = shared / "halueval_general/general_odd_rows.jsonl"
    if path.exists():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        yield "answers of a model (en)", "document", some(row["chatgpt_response"] for row in rows)
        yield "prompts of people (en)", "user", some(row["user_query"] for row in rows)
    path = shared / "korean_safety/question_valid.json"
    if path.exists():
        yield (
            "sensitive questions (ko)",
            "user",
            some(row["question"] for row in json.loads(path.read_text(encoding="utf-8"))),
        )
    path = shared / "bbq/Age.jsonl"
    if path.exists():
        contexts = (json.loads(line)["context"] for line in path.read_text(encoding="utf-8").splitlines())
        yield "short narratives (en)", "document", some(contexts)


if __name__ == "__main__":
    sys.exit(main())
