"""A broken, encrypted, huge or hostile file is reported with what to do, and stops nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
import pytest
from made_documents import make_docx, make_pdf, make_zip, written

from inhouse.docs.load import LoadFailure, LoadLimits, load_safely
from inhouse.docs.records import Loaded

_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">'.encode() for n in range(9))
    + b']><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>'
    b"&j;</w:t></w:r></w:p></w:body></w:document>"
)
_ENTITY = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><w:document '
    b'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>&x;</w:t></w:r>'
    b"</w:p></w:body></w:document>"
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def failure(path: Path, limits: LoadLimits | None = None, root: Path | None = None) -> LoadFailure:
    ((_, outcome),) = load_safely([path], limits, root=root)
    assert isinstance(outcome, LoadFailure)
    return outcome


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("bomb.docx", make_docx(_BOMB), "XML bomb"),
        ("entity.docx", make_docx(_ENTITY), "XML bomb"),
        ("zip.docx", make_zip({"word/document.xml": bytes(40 << 20)}), "zip bomb"),
        ("trick.docx", make_zip({"../../etc/cron.d/x": b"x"}), "outside it"),
        ("trick.hwpx", make_zip({"/etc/passwd": b"x"}), "outside it"),
        ("cut.docx", make_docx(b"<a/>")[:-30], "broken"),
        ("encrypted.docx", _OLE + bytes(600), "encrypted"),
        ("noise.docx", os.urandom(4000), "broken"),
        ("noise.pdf", os.urandom(4000), "broken"),
        ("noise.hwp", os.urandom(4000), "no HWP"),
        ("noise.hwp", _OLE + os.urandom(4000), "broken"),
        ("noise.xlsx", os.urandom(4000), "broken"),
        ("encrypted.pdf", make_pdf([[(72, 700, 12, "secret")]], encrypted=True), "encrypted"),
        ("empty.pdf", b"", "broken"),
        ("empty.txt", b"", "no text"),
        ("old.doc", _OLE, ".doc is not read"),
        ("nothing", b"x", "no suffix"),
        ("deep.html", b"<div>" * 200_000 + b"x", ""),
        ("not-a-mail.eml", b"nothing here", "no e-mail"),
    ],
)
def test_a_hostile_file_is_refused_with_its_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    ((_, outcome),) = load_safely([written(tmp_path, name, data)], LoadLimits(unpacked_bytes=20 << 20))
    if name == "deep.html":  # read as far as the parser goes, or refused: either way it ends
        assert isinstance(outcome, Loaded | LoadFailure)
        return
    assert isinstance(outcome, LoadFailure)
    assert reason in outcome.reason
    assert "root:" not in outcome.reason


def test_the_files_after_a_hostile_one_are_loaded(tmp_path: Path) -> None:
    good = written(tmp_path, "good.txt", "좋은 문서입니다.".encode())
    bad = written(tmp_path, "bad.docx", make_docx(_BOMB))
    outcomes = dict(load_safely([bad, good, written(tmp_path, "x.pdf", b"%PDF-1.7 broken")]))
    assert isinstance(outcomes[good], Loaded)
    assert sum(isinstance(outcome, LoadFailure) for outcome in outcomes.values()) == 2


def test_a_link_out_of_the_folder_is_refused_and_one_within_followed(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    written(tmp_path, "secret.txt", b"secret")
    written(folder, "real.txt", b"real")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "in.txt").symlink_to(folder / "real.txt")
    assert "out of the folder" in failure(folder / "out.txt", root=folder).reason
    ((_, loaded),) = load_safely([folder / "in.txt"], root=folder)
    assert isinstance(loaded, Loaded)
    assert loaded.blocks[0].text == "real"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    started = time.monotonic()
    assert "no regular file" in failure(tmp_path / "pipe.txt").reason
    assert failure(tmp_path / "missing.txt").reason.endswith("No such file or directory")
    assert time.monotonic() - started < 20


def test_a_file_over_the_limit_of_size_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(10 << 30)
    assert "more than 268.4 MB" in failure(tmp_path / "huge.txt").reason


def test_a_file_that_takes_too_much_memory_costs_only_its_worker(tmp_path: Path) -> None:
    big = written(tmp_path, "big.csv", b"a,b,c\n" * 6_000_000)
    good = written(tmp_path, "good.txt", b"good")
    outcomes = dict(load_safely([big, good], LoadLimits(memory_bytes=400 << 20)))
    assert isinstance(outcomes[big], LoadFailure)
    assert "memory" in outcomes[big].reason
    assert isinstance(outcomes[good], Loaded)


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    big = written(tmp_path, "big.csv", b"a,b,c\n" * 5_000_000)
    good = written(tmp_path, "good.txt", b"good")
    outcomes = dict(load_safely([big, good], LoadLimits(wall_s=1.0, text_bytes=1 << 30)))
    assert isinstance(outcomes[big], LoadFailure)
    assert "more than 1 s" in outcomes[big].reason
    # The next file shares the limit, and a new worker's start may pass a second on a busy machine.
    assert good in outcomes


def test_a_file_that_computes_too_long_is_ended_by_the_kernel(tmp_path: Path) -> None:
    big = written(tmp_path, "big.csv", b"a,b,c\n" * 8_000_000)
    assert "computing" in failure(big, LoadLimits(cpu_s=1, text_bytes=1 << 30)).reason


def test_more_text_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "long.txt", b"word " * 10_000)
    assert "letters" in failure(path, LoadLimits(text_bytes=1000)).reason


def test_a_worker_is_told_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the process that opens strangers' files holds no settings of ours."""
    monkeypatch.setenv("INHOUSE_API_KEY", "do-not-tell")
    loads = load_safely([written(tmp_path, f"{n}.txt", b"x") for n in range(2)])
    next(loads)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("needs Linux's /proc")
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children.read_text().split()]
    assert environments
    assert not any(b"do-not-tell" in environment for environment in environments)
    loads.close()  # type: ignore[attr-defined]


def test_no_worker_is_left_behind(tmp_path: Path) -> None:
    loads = load_safely([written(tmp_path, f"{n}.txt", b"x") for n in range(3)])
    next(loads)
    loads.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("needs Linux's /proc")
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]
    assert not any(b"load_worker" in command for command in commands), orjson.dumps([str(c) for c in commands])
