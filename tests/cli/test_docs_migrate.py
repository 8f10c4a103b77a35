"""`inhouse docs migrate` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from collection_writer import revision

from inhouse.docs.stores.open import open_store


def inhouse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"INHOUSE_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    command = [str(Path(sys.executable).parent / "inhouse"), "docs", "migrate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=60)


def test_moves_a_collection_and_says_what_it_did(tmp_path: Path) -> None:
    store = open_store("", "handbook", data_dir=tmp_path)
    store.apply([revision(f"d{n}", n) for n in range(3)])
    store.close()
    target = f"sqlite:///{tmp_path / 'moved.db'}"
    done = inhouse(tmp_path, "handbook", "--to", target, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["copied"], said["kept"], said["counts"]) == (3, 0, {"documents": 3, "chunks": 12, "embedded": 12})
    again = inhouse(tmp_path, "handbook", "--to", target)
    assert again.returncode == 0
    assert said["checksum"] in again.stdout


def test_what_cannot_be_moved_is_said_in_one_line(tmp_path: Path) -> None:
    for arguments, words in [
        (("nothing", "--to", "sqlite:///x.db"), "There is no collection nothing"),
        (("c", "--from", "sqlite:///a.db", "--to", "sqlite:///a.db"), "the same"),
        (("c", "--from", "sqlite:///a.db", "--to", "mongo://x"), "no document store"),
    ]:
        done = inhouse(tmp_path, *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
