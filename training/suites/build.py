"""Makes the items of the suites in src/inhouse/quality/suites: samples of others' data sets, and what is written here.

    python training/suites/build.py SHARED

SHARED is the folder with the data sets that NOTICE.md beside the suites names. Every sample is stratified and drawn
with a fixed seed, so that a second run writes the same files. Knows no model.
"""

from __future__ import annotations

import ast
import csv
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "written"
OUT = Path(__file__).parents[2] / "src" / "inhouse" / "quality" / "suites"
SEED = 20261125
Row = dict[str, Any]

KOBBQ_TEMPLATES, BBQ_TEMPLATES, HALUEVAL_PAIRS, SQUARE_QUESTIONS, PARALLEL = 72, 60, 200, 100, 80


def main() -> None:
    """Writes every JSONL file."""
    shared = Path(sys.argv[1])
    files: dict[str, Iterable[Row]] = {
        "kobbq": kobbq(shared / "kobbq" / "KoBBQ_test_samples.tsv"),
        "bbq": bbq(shared / "bbq"),
        "halueval_qa": halueval(shared / "halueval_general" / "qa_one_turn_odd_rows.jsonl"),
        "halueval_claims": halueval_claims(shared / "halueval_general" / "qa_one_turn_odd_rows.jsonl"),
        "square_pairs": square_pairs(shared / "korean_safety" / "response_test_ood.json"),
        "square_questions": square_questions(shared / "korean_safety" / "question_valid.json"),
        "parallel": parallel(shared / "korean_safety" / "question_valid.json"),
        "company_docs_en": company_docs(shared / "company_docs_en"),
        "korean_comprehension": comprehension(),
        "korean_knowledge": knowledge(),
        "korean_honorifics": pairs("honorifics", "point", extra="situation"),
        "korean_spelling": pairs("spelling", "rule"),
        "korean_language": (
            {"id": f"open-{n}", "question": row["ko"], "tags": {"topic": row["topic"]}}
            for n, row in enumerate(table("open_ko"))
        ),
    }
    for lang in ("ko", "en"):
        files |= {
            f"prompts_{lang}": prompts(lang),
            f"invented_{lang}": invented(lang),
            f"staleness_{lang}": staleness(lang),
            f"instructions_{lang}": instructions(lang),
            f"json_{lang}": json_tasks(lang),
            f"refusal_{lang}": refusal(lang),
        }
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
        (OUT / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(lines)} items, {(OUT / f'{name}.jsonl').stat().st_size / 1024:.0f} kB")


# --- samples of others' data ------------------------------------------------------------------------------------


def kobbq(path: Path) -> Iterator[Row]:
    """Whole templates (two orders × two contexts × two questions each), evenly over KoBBQ's categories."""
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            groups["-".join(row["sample_id"].split("-")[:2])[:-1]].append(row)
    dice = random.Random(SEED)
    for name in evenly(groups, lambda name: name.split("-")[0], KOBBQ_TEMPLATES, dice):
        rows = groups[name]
        # One of the two orders of naming the people, by lot; its four samples stay together.
        order = dice.choice(sorted({row["sample_id"].split("-")[1] for row in rows}))
        for row in rows:
            category, which, _, context, question = row["sample_id"].rsplit("-", 4)[-5:]
            if which != order:
                continue
            choices = ast.literal_eval(row["choices"])
            yield {
                "id": row["sample_id"],
                "context": row["context"],
                "question": row["question"],
                "choices": shuffled(choices, dice),
                "target": row["answer"],
                "biased": row["biased_answer"],
                "unknown": "알 수 없음",
                "cluster": name,
                "tags": {
                    "category": category,
                    "context": {"amb": "ambiguous", "dis": "disambiguated"}[context],
                    # bsd: the fact goes with the stereotype; cnt: against it (of an ambiguous one: the question).
                    "direction": {"bsd": "biased", "cnt": "counter"}[question],
                },
            }


def bbq(folder: Path) -> Iterator[Row]:
    """Whole templates of BBQ's four categories here: one pair of people each, its contexts and questions together."""
    dice = random.Random(SEED)
    groups: dict[str, list[Row]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for at in range(0, len(rows), 4):  # ambiguous and disambiguated, negative and not, of the same people
            four = rows[at : at + 4]
            if len({row["question_index"] for row in four}) == 1 and _bbq_target(four[0]) is not None:
                groups[f"{four[0]['category']}-{four[0]['question_index']}-{at}"].append(four)
    by_template: dict[str, list[str]] = defaultdict(list)
    for name in groups:
        by_template[name.rsplit("-", 1)[0]].append(name)
    chosen = {template: dice.choice(names) for template, names in by_template.items()}
    for template in evenly(chosen, lambda name: name.rsplit("-", 1)[0], BBQ_TEMPLATES, dice):
        for row in groups[chosen[template]][0]:
            target = _bbq_target(row)
            if target is None:
                continue
            choices = [row[f"ans{n}"] for n in range(3)]
            unknown = next(n for n in range(3) if row["answer_info"][f"ans{n}"][1] == "unknown")
            other = next(n for n in range(3) if n not in (target, unknown))
            biased = target if row["question_polarity"] == "neg" else other
            ambiguous = row["context_condition"] == "ambig"
            yield {
                "id": f"{row['category']}-{row['example_id']}",
                "context": row["context"],
                "question": row["question"],
                "choices": shuffled(choices, dice),
                "target": choices[row["label"]],
                "biased": choices[biased],
                "unknown": choices[unknown],
                "cluster": template,
                "tags": {
                    "category": row["category"],
                    "context": "ambiguous" if ambiguous else "disambiguated",
                    "direction": ("biased" if row["label"] == biased else "counter")
                    if not ambiguous
                    else ("biased" if row["question_polarity"] == "neg" else "counter"),
                },
            }


def _bbq_target(row: Row) -> int | None:
    """Which answer is the stereotyped group; None where the data does not say it of exactly one (BBQ's own rule)."""
    stereotyped = {group.lower() for group in row["additional_metadata"]["stereotyped_groups"]}
    known = [n for n in range(3) if row["answer_info"][f"ans{n}"][1] != "unknown"]
    hits = [
        n
        for n in known
        if row["answer_info"][f"ans{n}"][1].lower() in stereotyped
        or row["answer_info"][f"ans{n}"][0].lower() in stereotyped
    ]
    return hits[0] if len(hits) == 1 else None


def halueval(path: Path) -> Iterator[Row]:
    """Questions with a right and an invented answer, in either order by lot."""
    dice = random.Random(SEED)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for n in sorted(dice.sample(range(len(rows)), HALUEVAL_PAIRS)):
        row = rows[n]
        yield {
            "id": f"halueval-{n}",
            "knowledge": row["knowledge"].strip(),
            "question": row["question"].strip(),
            "choices": shuffled([row["right_answer"], row["hallucinated_answer"]], dice),
            "target": row["right_answer"],
        }


def halueval_claims(path: Path) -> Iterator[Row]:
    """The same questions, each with one of its two answers by lot: is that answer right?"""
    dice = random.Random(SEED)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for n in sorted(dice.sample(range(len(rows)), HALUEVAL_PAIRS)):
        row, right = rows[n], dice.random() < 0.5
        yield {
            "id": f"claim-{n}",
            "knowledge": row["knowledge"].strip(),
            "question": row["question"].strip(),
            "answer": row["right_answer"] if right else row["hallucinated_answer"],
            "choices": ["right", "wrong"],
            "target": "right" if right else "wrong",
            "tags": {"answer": "right" if right else "hallucinated"},
        }


def square_pairs(path: Path) -> Iterator[Row]:
    """SQuARe's questions that have both an acceptable and an unacceptable response: which does the model prefer?"""
    dice = random.Random(SEED)
    both: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in json.loads(path.read_text(encoding="utf-8")):
        both[row["question"]].setdefault(row["acceptable?"], row)
    for n, (question, found) in enumerate(both.items()):
        if len(found) == 2 and found[0]["response"] != found[1]["response"]:
            yield {
                "id": f"square-{n}",
                "question": question,
                "choices": shuffled([found[0]["response"], found[1]["response"]], dice),
                "target": found[1]["response"],
                "tags": {"category": found[0]["question_category"]},
            }


def square_questions(path: Path) -> Iterator[Row]:
    """SQuARe's questions, sensitive ones of every category and others."""
    dice = random.Random(SEED)
    rows = {f"square-{n}": row for n, row in enumerate(json.loads(path.read_text(encoding="utf-8")))}
    for name in evenly(rows, lambda name: str(rows[name]["category"]), SQUARE_QUESTIONS, dice):
        row = rows[name]
        yield {
            "id": name,
            "question": row["question"],
            "tags": {"category": row["category"] or "not sensitive", "sensitive": bool(row["sensitive?"])},
        }


def parallel(path: Path) -> Iterator[Row]:
    """The same sentence in Korean and in English (SQuARe's questions and their translations)."""
    dice = random.Random(SEED + 1)
    rows = json.loads(path.read_text(encoding="utf-8"))
    for n in sorted(dice.sample(range(len(rows)), PARALLEL)):
        yield {"id": f"square-{n}", "ko": rows[n]["question"], "en": rows[n]["question_en"]}


def company_docs(folder: Path) -> Iterator[Row]:
    """Questions written here on the policies of made-up companies, each with the paragraph that answers it."""
    for n, row in enumerate(table("company_docs")):
        text = (folder / f"{row['document']}.md").read_text(encoding="utf-8")
        sections = [part for part in re.split(r"\n(?=#)|\n\n", text) if row["quote"] in part]
        if len(sections) != 1:
            raise SystemExit(f"company_docs: the quote {row['quote']!r} stands in {len(sections)} paragraphs")
        yield {
            "id": f"{row['document']}-{n}",
            "question": row["question"],
            "passage": sections[0].strip(),
            "targets": row["answers"].split("|"),
            "cluster": row["document"],
            "tags": {"document": row["document"]},
        }


# --- what is written here -----------------------------------------------------------------------------------------


def prompts(lang: str) -> Iterator[Row]:
    """Simple facts, with all that the eight ways to ask them need."""
    other = "en" if lang == "ko" else "ko"
    for row in table("facts"):
        right, wrong = row[f"{lang}_answers"].split("|"), row[f"{lang}_wrong"].split("|")
        dice = random.Random(f"{SEED}{row['key']}")
        question = row[lang]
        casual = row["ko_casual"] if lang == "ko" else "hey, " + question[0].lower() + question[1:].rstrip("?")
        yield {
            "id": row["key"],
            "question": question,
            "casual": casual,
            "words": row[f"{lang}_words"],
            "typos": typos(question, lang, dice),
            "other": row[other],
            "options": ", ".join(shuffled([right[0], *wrong], dice)),
            "targets": list(dict.fromkeys(right + row[f"{other}_answers"].split("|"))),
        }


def typos(text: str, lang: str, dice: random.Random) -> str:
    """The text as typed in haste: in one word in three, two letters swapped or one syllable's final consonant lost."""
    words = text.split()
    places = [n for n, word in enumerate(words) if len(word) > 3 and not any(one.isdigit() for one in word)]
    for place in dice.sample(places, min(len(places), max(1, len(words) // 3))):
        words[place] = (_lost_final if lang == "ko" else _swapped)(words[place], dice)
    return " ".join(words)


def _swapped(word: str, dice: random.Random) -> str:
    at = dice.randrange(1, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _lost_final(word: str, dice: random.Random) -> str:
    """Takes the final consonant of one Hangul syllable (its code point counts 28 finals a vowel)."""
    finals = [n for n, one in enumerate(word) if "가" <= one <= "힣" and (ord(one) - 0xAC00) % 28]
    if not finals:
        return word[:-1]
    at = dice.choice(finals)
    return word[:at] + chr(ord(word[at]) - (ord(word[at]) - 0xAC00) % 28) + word[at + 1 :]


def invented(lang: str) -> Iterator[Row]:
    """Questions about what was made up here, and as many simple facts beside them, to which there is an answer."""
    for n, row in enumerate(table("invented")):
        yield {"id": f"invented-{n}", "question": row[lang], "tags": {"kind": row["kind"], "answerable": False}}
    for row in table("facts"):
        yield {
            "id": row["key"],
            "question": row[lang],
            "targets": row["ko_answers"].split("|") + row["en_answers"].split("|"),
            "tags": {"kind": "fact", "answerable": True},
        }


def staleness(lang: str) -> Iterator[Row]:
    """What happened once a year, by year, and what no one can know yet."""
    for row in table("yearly"):
        for n, answers in enumerate(row["answers"].split(";")):
            year = int(row["first"]) + n
            if answers != "-":
                yield {
                    "id": f"{row['series']}-{year}",
                    "question": row[lang].replace("{year}", str(year)),
                    "targets": answers.split("|"),
                    "cluster": row["series"],
                    "tags": {"year": year, "series": row["series"], "known": True},
                }
    for n, row in enumerate(table("future")):
        yield {
            "id": f"future-{n}",
            "question": row[lang],
            "cluster": f"future-{n}",
            "tags": {"year": int(row["year"]), "series": "future", "known": False},
        }


def instructions(lang: str) -> Iterator[Row]:
    """Instructions whose keeping code can check."""
    for n, row in enumerate(lines("instructions")):
        rules = [*row.get("rules", []), *row.get(f"{lang}_rules", [])]
        yield {"id": f"instruction-{n}", "instruction": row[lang], "rules": rules, "tags": {"rule": rules[0]["rule"]}}


def json_tasks(lang: str) -> Iterator[Row]:
    """Sentences to be turned into JSON of a schema, with the values that must come out."""
    for group, row in enumerate(lines("json_tasks")):
        for n, (text, values) in enumerate(row[lang]):
            yield {
                "id": f"json-{group}-{n}",
                "text": text,
                "schema": row["schema"],
                "schema_text": json.dumps(row["schema"], ensure_ascii=False),
                "values": values,
                "cluster": f"schema-{group}",
            }


def refusal(lang: str) -> Iterator[Row]:
    """What only sounds dangerous and must be answered, and what must be refused."""
    for n, row in enumerate(table("refusal")):
        yield {"id": f"{row['kind']}-{n}", "question": row[lang], "tags": {"harmful": row["kind"] == "harmful"}}


def comprehension() -> Iterator[Row]:
    """Short Korean passages with two questions each."""
    for n, row in enumerate(lines("comprehension_ko")):
        for m, (question, answers) in enumerate(row["qa"]):
            yield {
                "id": f"passage-{n}-{m}",
                "passage": row["passage"],
                "question": question,
                "targets": answers,
                "cluster": f"passage-{n}",
            }


def knowledge() -> Iterator[Row]:
    """Korean history, geography, letters, customs and institutions, with four choices."""
    dice = random.Random(SEED)
    for n, row in enumerate(table("knowledge_ko")):
        yield {
            "id": f"knowledge-{n}",
            "question": row["question"],
            "choices": shuffled([row["right"], *row["wrong"].split("|")[:3]], dice),
            "target": row["right"],
            "tags": {"subject": row["subject"]},
        }


def pairs(name: str, tag: str, extra: str = "") -> Iterator[Row]:
    """Two sentences of which one is right, in either order by lot."""
    dice = random.Random(SEED)
    for n, row in enumerate(table(name)):
        yield {
            "id": f"{name}-{n}",
            **({extra: row[extra]} if extra else {}),
            "choices": shuffled([row["right"], row["wrong"]], dice),
            "target": row["right"],
            "tags": {tag: row[tag]},
        }


# --- how ----------------------------------------------------------------------------------------------------------


def table(name: str) -> list[dict[str, str]]:
    """A file of tab-separated columns."""
    with (HERE / f"{name}.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def lines(name: str) -> list[Row]:
    """A file of JSON lines."""
    return [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def shuffled(values: list[str], dice: random.Random) -> list[str]:
    """In an order by lot."""
    return dice.sample(values, len(values))


def evenly(names: Mapping[str, Any], stratum: Callable[[str], str], most: int, dice: random.Random) -> list[str]:
    """So many names, one stratum after the other in turn, each stratum's in an order by lot; mixed, so that any
    beginning of the file has all strata.
    """
    strata: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        strata[stratum(name)].append(name)
    for group in strata.values():
        dice.shuffle(group)
    found: list[str] = []
    while len(found) < most and any(strata.values()):
        found += [group.pop() for group in strata.values() if group]
    return found[:most]


if __name__ == "__main__":
    main()
