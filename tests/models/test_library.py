"""The model files on this machine: found by name or path, checked, removed; never a file outside the folder."""

from pathlib import Path

import pytest
from gguf_files import small_model

from inhouse.core.errors import CorruptModel, ModelNotPulled, UnknownModel, UsageError
from inhouse.core.settings import Settings
from inhouse.models.library import PullNote, model_path, pulled, read_note, remove, verify, write_note
from inhouse.models.transfer import hash_file

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")
    found.models_dir.mkdir(parents=True)
    return found


def place(settings: Settings, data: bytes, *, noted: bool = True) -> Path:
    path = settings.models_dir / FILE
    path.write_bytes(data)
    if noted:
        digest = hash_file(path).hexdigest()
        write_note(path, PullNote("smollm2:135m", "folder", digest, len(data), "2026-01-02T03:04:05+00:00", 1, 0, True))
    return path


def test_a_model_is_found_by_its_name_and_by_its_path(settings: Settings):
    path = place(settings, small_model())
    assert model_path(settings, "smollm2:135m") == path
    assert model_path(settings, "smollm2") == path
    assert model_path(settings, str(path)) == path
    assert model_path(settings, FILE) == path


def test_a_model_that_is_not_here_is_said_how_to_get(settings: Settings):
    with pytest.raises(ModelNotPulled) as missing:
        model_path(settings, "smollm2:135m")
    assert missing.value.do == "Run: inhouse models pull smollm2:135m"
    with pytest.raises(UnknownModel):
        model_path(settings, "nowhere/none.gguf")


def test_a_file_that_has_shrunk_since_its_pull_is_not_used(settings: Settings):
    path = place(settings, small_model())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptModel) as refused:
        model_path(settings, "smollm2:135m")
    assert "inhouse models pull" in refused.value.do


def test_the_list_names_catalogue_models_and_files_put_there_by_hand(settings: Settings):
    place(settings, small_model())
    (settings.models_dir / "my-own.gguf").write_bytes(small_model())
    (settings.models_dir / f".{FILE}.hugging_face.partial").write_bytes(b"begun")
    known, own = pulled(settings)
    assert (known.name, known.source) == ("smollm2:135m", "folder")
    assert known.pulled_at is not None
    assert (own.name, own.sha256, own.pulled_at) == ("my-own", None, None)
    assert model_path(settings, "my-own") == own.path


def test_an_empty_cache_lists_nothing(tmp_path: Path):
    assert pulled(Settings(cache_dir=tmp_path / "none", data_dir=tmp_path)) == []


def test_an_unharmed_file_is_verified(settings: Settings):
    place(settings, small_model())
    assert verify(settings, "smollm2:135m").ok


def test_a_changed_byte_is_found(settings: Settings):
    path = place(settings, small_model())
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    result = verify(settings, "smollm2:135m")
    assert not result.ok
    assert result.expected == read_note(path).sha256  # type: ignore[union-attr]


def test_without_a_note_the_catalogues_digest_counts(settings: Settings):
    place(settings, small_model(), noted=False)
    result = verify(settings, "smollm2:135m")
    assert (result.ok, result.expected) == (
        False, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )  # fmt: skip


def test_a_file_that_nobody_knows_has_nothing_to_be_compared_with(settings: Settings):
    (settings.models_dir / "my-own.gguf").write_bytes(small_model())
    result = verify(settings, "my-own")
    assert (result.expected, result.ok) == (None, False)


def test_removing_takes_file_note_and_leftovers(settings: Settings):
    path = place(settings, small_model())
    (settings.models_dir / f".{FILE}.package_index.partial").write_bytes(b"x" * 1000)
    freed = remove(settings, "smollm2:135m")
    assert freed > len(small_model()) + 1000
    assert list(settings.models_dir.iterdir()) == []
    assert not path.exists()


def test_removing_works_on_a_broken_pull_alone_and_on_a_changed_file(settings: Settings):
    (settings.models_dir / f".{FILE}.package_index.partial").write_bytes(b"x")
    assert remove(settings, "smollm2:135m") == 1
    path = place(settings, small_model())
    path.write_bytes(b"cut")
    assert remove(settings, "smollm2:135m") > 0


def test_removing_what_is_not_here_is_an_error(settings: Settings):
    with pytest.raises(ModelNotPulled):
        remove(settings, "smollm2:135m")


def test_a_file_outside_the_models_folder_is_never_removed(settings: Settings, tmp_path: Path):
    outside = tmp_path / "precious.gguf"
    outside.write_bytes(small_model())
    with pytest.raises(UsageError):
        remove(settings, str(outside))
    assert outside.exists()


def test_a_note_that_cannot_be_read_counts_as_none(settings: Settings):
    path = place(settings, small_model())
    path.with_name(path.name + ".json").write_text("{broken")
    assert read_note(path) is None
    assert model_path(settings, "smollm2:135m") == path
