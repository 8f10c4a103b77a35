"""Files are read and written in the allowed folder, and nothing leads out of it."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest
from tool_calls_made import make_call

from inhouse.agent.tools.folder import Folder
from inhouse.agent.tools.registry import tools
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

FILES = tools(["list_files", "read_file", "write_file"], Settings())


@pytest.fixture
def allowed(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "allowed"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "note.txt").write_text("안녕하세요")
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    return folder


async def test_a_file_is_listed_read_and_written(allowed):
    await make_call(FILES["write_file"], allowed, path="new/a.txt", content="하나")
    listed = await make_call(FILES["list_files"], allowed)

    assert listed.content.splitlines() == ["new/", "sub/"]
    assert (await make_call(FILES["read_file"], allowed, path="sub/note.txt")).content == "안녕하세요"
    assert (allowed / "new" / "a.txt").read_text() == "하나"


@pytest.mark.parametrize(
    "path", ["../secret.txt", "sub/../../secret.txt", "/etc/passwd", "link", "up/secret.txt", "pipe", "sub", "a\0b", ""]
)
async def test_nothing_outside_is_read(allowed, path):
    with pytest.raises(ToolError):
        await make_call(FILES["read_file"], allowed, path=path)


@pytest.mark.parametrize("path", ["../new.txt", "up/new.txt", "/tmp/new.txt", "sub"])
async def test_nothing_outside_is_written(allowed, path):
    before = sorted(allowed.parent.rglob("*"))
    with pytest.raises(ToolError):
        await make_call(FILES["write_file"], allowed, path=path, content="x")
    assert sorted(allowed.parent.rglob("*")) == before


async def test_a_link_that_is_written_over_is_replaced_and_not_followed(allowed):
    await make_call(FILES["write_file"], allowed, path="link", content="mine")

    assert (allowed.parent / "secret.txt").read_text() == "secret"
    assert not (allowed / "link").is_symlink()


def test_a_folder_swapped_for_a_link_in_between_leads_nowhere(allowed, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "note.txt").write_text("secret")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (allowed / "sub").rename(allowed / "kept")
            (allowed / "sub").symlink_to(tmp_path / "outside")
            (allowed / "sub").unlink()
            (allowed / "kept").rename(allowed / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        read, tries = set(), 0
        while tries < 1500 or (not read and tries < 100_000):  # a busy machine may let the swaps win for long
            tries += 1
            with contextlib.suppress(ToolError):
                read.add(Folder(allowed).read("sub/note.txt", 100)[0])
    finally:
        stop.set()
        thread.join()
    assert read == {"안녕하세요".encode()}


async def test_without_an_allowed_folder_nothing_is_read():
    with pytest.raises(ToolError, match="No folder is allowed"):
        await make_call(FILES["read_file"], path="a.txt")
