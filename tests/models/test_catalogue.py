"""The catalogue: what ships is whole, the user's own is added, and mistakes in either are named."""

from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.core.errors import ModelError, UnknownModel
from inhouse.models.catalogue import find_entry, load_catalogue
from inhouse.models.gguf import read_gguf

OWN = """
[[model]]
name = "our-model:3b"
file = "our-model.gguf"
size_bytes = 2_000_000_000
sha256 = "{digest}"
licence = "internal"
languages = ["ko"]
[[model.source]]
kind = "hugging_face"
repository = "our/model"
"""


def own(folder: Path, text: str = OWN) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "catalogue.toml").write_text(text.replace("{digest}", "a" * 64), encoding="utf-8")
    return folder


def test_every_shipped_entry_can_be_judged_before_it_is_pulled(tmp_path: Path):
    for entry in load_catalogue(tmp_path).values():
        assert entry.layout is not None
        assert len(entry.sha256) == 64
        assert entry.licence
        assert entry.languages
        assert entry.sources
        # A file is its tensors and a description of some megabytes (the vocabulary).
        assert 0 < entry.size_bytes - entry.layout.tensor_bytes < 8_000_000


def test_a_layout_says_what_the_file_says(tiny_model: Path, tmp_path: Path):
    entry = find_entry("smollm2:135m", tmp_path)
    assert entry.layout == replace(read_gguf(tiny_model), name="", tensors=0)
    assert entry.size_bytes == tiny_model.stat().st_size


def test_llama2_comes_in_two_builds_each_with_its_own_digest(tmp_path: Path):
    entry = find_entry("llama2:7b", tmp_path)
    assert {source.kind for source in entry.sources} == {"ollama", "hugging_face"}
    assert len({source.sha256 for source in entry.sources}) == 2
    assert entry.reference


def test_a_name_without_its_tag_finds_the_only_model_of_the_family(tmp_path: Path):
    assert find_entry("llama2", tmp_path).name == "llama2:7b"
    assert find_entry("SmolLM2:135M", tmp_path).name == "smollm2:135m"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("qwen2.5-coder", "qwen2.5-coder:0.5b or qwen2.5-coder:1.5b"), ("lama2:7b", "llama2:7b"), ("zzzz", "It has")],
)
def test_an_unknown_name_is_answered_with_near_ones(tmp_path: Path, name: str, hint: str):
    with pytest.raises(UnknownModel) as unknown:
        find_entry(name, tmp_path)
    assert hint in unknown.value.do


def test_the_users_own_entries_are_added(tmp_path: Path):
    catalogue = load_catalogue(own(tmp_path))
    assert catalogue["our-model:3b"].licence == "internal"
    assert "llama2:7b" in catalogue


def test_an_own_entry_replaces_the_shipped_one_of_its_name(tmp_path: Path):
    text = OWN.replace("our-model:3b", "llama2:7b")
    assert load_catalogue(own(tmp_path, text))["llama2:7b"].languages == ("ko",)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('file = "our-model.gguf"', "", "'file' is missing"),
        ('file = "our-model.gguf"', 'file = "../../etc/passwd.gguf"', "bare name"),
        ("size_bytes = 2_000_000_000", "size_bytes = -1", "positive"),
        ('"{digest}"', '"abc"', "64 hexadecimal digits"),
        ('"hugging_face"', '"ftp"', "'ftp' is unknown"),
        ('repository = "our/model"', "", "'repository' is missing"),
        ("[[model]]", "[[model", "valid TOML"),
    ],
)
def test_a_mistake_in_the_users_catalogue_is_named(tmp_path: Path, before: str, after: str, why: str):
    with pytest.raises(ModelError) as refused:
        load_catalogue(own(tmp_path, OWN.replace(before, after)))
    assert why in str(refused.value)
    assert "catalogue.toml" in str(refused.value)
