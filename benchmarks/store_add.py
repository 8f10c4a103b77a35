"""Claim: the SQLite store takes chunks in at least as fast as Chroma and in a smaller file, though it also holds the
documents, a full-text index and transactions. LanceDB is the one to catch up with: faster, and smaller.

20,000 chunks (--full 100,000) with 384 dimensions in batches of 1,000, each side in a process of its own, timed until
the first search has answered. Chroma keeps texts and vectors; LanceDB the same with its full-text index made.
Both are installed into a virtual environment of their own.

    python benchmarks/store_add.py [--full]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from platformdirs import user_cache_path

PEERS = user_cache_path("inhouse") / "peers" / "vector-stores"
BATCH = 10
"""Documents of 100 chunks added at once."""

_CHROMA = """
import chromadb
from chromadb.config import Settings
client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
made = client.create_collection("chunks", embedding_function=None, configuration={"hnsw": {"space": "ip"}})
def add(ids, vectors, texts):
    made.add(ids=[str(i) for i in ids], embeddings=vectors, documents=texts)
def finish(vector):
    return made.query(query_embeddings=vector[None], n_results=10)
"""

_LANCE = """
import lancedb, pyarrow as pa
db = lancedb.connect(folder)
schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), 384)), ("text", pa.string())])
table = db.create_table("c", schema=schema)
def add(ids, vectors, texts):
    table.add(pa.table({"id": ids, "vector": list(vectors), "text": texts}, schema=schema))
def finish(vector):
    table.create_fts_index("text", replace=True)
    return table.search(vector).limit(10).to_list()
"""

_DRIVER = """
import sys, time
import numpy as np
folder, data = sys.argv[1:]
given = np.load(data, allow_pickle=True)
vectors, texts = given["vectors"], given["texts"].tolist()
{store}
start = time.perf_counter()
for at in range(0, len(texts), 1000):
    add(list(range(at, at + 1000)), vectors[at:at + 1000], texts[at:at + 1000])
finish(vectors[5])
print(time.perf_counter() - start)
"""


def peer_python() -> Path:
    """The interpreter that has both peers, installed if they are not there."""
    python = PEERS / "bin" / "python"
    if not (PEERS / "ready").exists():
        print(f"installing chromadb and lancedb into {PEERS} (some minutes)", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
        packages = ["chromadb==1.5.9", "lancedb==0.40.0", "numpy"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (PEERS / "ready").touch()
    return python


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def ours(folder: Path, chunks: int) -> float:
    """Seconds that the SQLite store takes, its full-text index and mirror included."""
    import numpy as np

    from inhouse.docs.stores.sqlite import SqliteStore
    from synthetic_collection import documents

    changes = list(documents(chunks))
    store = SqliteStore(folder / "c.db")
    start = time.perf_counter()
    for at in range(0, len(changes), BATCH):
        store.apply(changes[at : at + BATCH])
    store.dense(np.asarray(changes[0].vectors)[5], 10)
    store.sparse(changes[0].terms[0].split()[:5], 10)  # type: ignore[union-attr]
    seconds = time.perf_counter() - start
    store.close()
    return seconds


def main() -> int:
    import numpy as np

    from synthetic_collection import documents

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="100,000 chunks")
    options = parser.parse_args()
    chunks = 100_000 if options.full else 20_000
    python = peer_python()
    rates: dict[str, float] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.npz"
        vectors, texts = [], []
        for change in documents(chunks):
            vectors.append(change.vectors)
            texts += [chunk.text for chunk in change.chunks]
        np.savez(data, vectors=np.concatenate(vectors), texts=np.array(texts, dtype=object))
        del vectors, texts
        for store, code in {"inhouse": "", "Chroma": _CHROMA, "LanceDB": _LANCE}.items():
            folder = Path(name) / store
            folder.mkdir()
            if code:
                script = _DRIVER.replace("{store}", code)
                environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
                command = [str(python), "-c", script, str(folder), str(data)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                seconds = float(done.stdout.split()[-1])
            else:
                seconds = ours(folder, chunks)
            rates[store], sizes[store] = chunks / seconds, size_of(folder) / 1e6
            print(f"{store:8} {rates[store]:8,.0f} chunks/s  {sizes[store]:8,.0f} MB", flush=True)
    print(
        f"{chunks:,} × 384: {rates['inhouse']:,.0f} chunks/s, {rates['inhouse'] / rates['Chroma']:.1f} times Chroma's,"
        f" {rates['inhouse'] / rates['LanceDB']:.2f} times LanceDB's; {sizes['inhouse']:,.0f} MB"
        f" against {sizes['Chroma']:,.0f} and {sizes['LanceDB']:,.0f}"
    )
    return 0 if rates["inhouse"] >= rates["Chroma"] and sizes["inhouse"] <= sizes["Chroma"] else 1


if __name__ == "__main__":
    sys.exit(main())
