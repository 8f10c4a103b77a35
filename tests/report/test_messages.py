"""Every message that a finding can carry has words in both languages, and the words have all their figures."""

import re
from pathlib import Path

import pytest

import inhouse.study
from inhouse.core.errors import EngineError, InhouseError, UsageError
from inhouse.core.records import Finding, RunStatus, Severity, Side
from inhouse.report.language import LANGUAGES, catalogue, choose_language
from inhouse.report.message import fill, placeholders, render
from inhouse.study.phase1_findings import phase1_findings

IN_CODE = {
    found
    for path in Path(inhouse.study.__file__).parent.glob("*.py")
    for found in re.findall(r'"(phase\d+\.[a-z0-9_]+)"', path.read_text())
}
IN_CATALOGUE = sorted(
    {key.removesuffix(".title") for key in catalogue("en") if re.fullmatch(r"phase\d+\.\w+\.title", key)}
)


def finding(message: str, **figures) -> Finding:
    return Finding(1, Side.TECHNICAL, Severity.INFO, message, figures)


def test_the_study_has_messages_at_all():
    assert len(IN_CODE) > 10


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("message", sorted(IN_CODE | set(IN_CATALOGUE)))
def test_every_message_has_a_title_a_sentence_and_what_to_do(message: str, lang: str):
    for key in (f"{message}.title", message, f"{message}.do"):
        assert catalogue(lang).get(key), f"{lang} has no {key}"


def test_both_languages_have_the_same_words():
    assert catalogue("ko").keys() == catalogue("en").keys()
    assert all(catalogue(lang)[key] for lang in LANGUAGES for key in catalogue(lang))


@pytest.mark.parametrize("key", sorted(catalogue("en")))
def test_both_languages_name_the_same_figures(key: str):
    assert placeholders(catalogue("ko")[key]) == placeholders(catalogue("en")[key])


def test_what_the_study_derives_fills_every_place_in_the_words(store, study):
    """The real derivation on real records: a figure that a sentence names must be among the finding's figures."""
    found = phase1_findings(store, study.id)
    assert len(found) > 8
    for item in found:
        needed = frozenset().union(
            *(
                placeholders(catalogue("en")[key])
                for key in (f"{item.message}.title", item.message, f"{item.message}.do")
            )
        )
        assert needed <= item.figures.keys(), item.message


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_place_stays_open_or_dashed(store, study, lang: str):
    for item in store.findings(study.id):
        said = render(item, lang)
        for text in (said.title, said.text, said.do):
            assert not re.search(r"[{}\[\]]|–\s|\(으\)|을\(를\)|이\(가\)|은\(는\)|과\(와\)", text), text


def test_figures_come_with_the_particles_their_sound_asks_for():
    figures = {"model": "smollm2:135m", "ttft_s": 0.2, "decode_tokens_s": 88.0, "prompt_tokens": 64}
    said = render(finding("phase1.ran", **figures), "ko")
    assert said.text.replace("\u00a0", " ") == (
        "smollm2:135m은 이 장비에서 돌아갑니다. 혼자 쓸 때 프롬프트 64토큰에 대한 첫 토큰이 200밀리초 만에 나왔고, "
        "그 뒤로 초당 88토큰을 생성했습니다."
    )


def test_english_reads_with_the_same_figures():
    figures = {"model": "smollm2:135m", "ttft_s": 0.2, "decode_tokens_s": 88.0, "prompt_tokens": 64}
    said = render(finding("phase1.ran", **figures), "en").text.replace("\u00a0", " ")
    assert said.endswith("a prompt of 64 tokens, the first token came after 200 ms, then 88 tokens/s.")


def test_a_part_in_brackets_is_left_out_where_its_figure_is_unknown():
    text = "It took {s}.[ The other would take {other_s}.]"
    assert fill(text, {"s": 2, "other_s": None}, "en").replace("\u00a0", " ") == "It took 2 s."
    assert fill(text, {"s": 2, "other_s": 3}, "en").replace("\u00a0", " ") == "It took 2 s. The other would take 3 s."


def test_a_figure_that_looks_like_a_place_is_not_filled_in_again():
    assert fill("{model}을(를) 받습니다", {"model": "{size_bytes}[x]"}, "ko") == "{size_bytes}[x]를 받습니다"


def test_a_message_of_another_version_falls_back_to_its_figures():
    said = render(finding("phase9.unheard_of", streams=8, ttft_s=1.5), "ko")
    assert said.title == "phase9.unheard_of"
    assert said.text == "streams: 8, ttft_s: 1.5초"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_error_kind_status_severity_and_side_has_a_word(lang: str):
    kinds = {cls.kind for cls in _subclasses(EngineError)}
    wanted = {f"kind.{kind}" for kind in kinds} | {f"status.{status}" for status in RunStatus}
    wanted |= {f"severity.{severity}" for severity in Severity} | {f"headline.{severity}" for severity in Severity}
    wanted |= {f"side.{side}" for side in Side}
    assert wanted <= catalogue(lang).keys()


def test_the_locale_chooses_the_language():
    assert choose_language(None, {"LANG": "ko_KR.UTF-8"}) == "ko"
    assert choose_language(None, {"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}) == "en"
    assert choose_language(None, {"LANG": "fr_FR.UTF-8"}) == "en"
    assert choose_language(None, {}) == "en"
    assert choose_language("ko", {"LANG": "en_US.UTF-8"}) == "ko"


def test_a_language_without_a_catalogue_is_refused():
    with pytest.raises(UsageError, match="fr") as caught:
        choose_language("fr", {})
    assert "ko, en" in caught.value.do


def _subclasses(cls: type) -> set[type]:
    return {cls} | {each for sub in cls.__subclasses__() for each in _subclasses(sub)}


def every_error(kind: type[InhouseError] = InhouseError):
    yield kind
    for inner in kind.__subclasses__():
        if inner.__module__ == InhouseError.__module__:
            yield from every_error(inner)


def test_every_error_has_words_in_both_languages():
    for kind in every_error():
        for lang in LANGUAGES:
            assert catalogue(lang).get(f"error.{kind.__name__}"), f"{lang} has no error.{kind.__name__}"


def test_a_reason_is_said_in_korean_with_the_errors_own_words_behind_and_in_english_alone():
    figures = {"part": "concurrency", "reason": "The engine died: signal 9", "error": "EngineCrashed"}
    failed = Finding(1, Side.OPERATIONAL, Severity.WARNING, "phase1.not_run", figures)
    assert "끊김 (The engine died: signal 9)" in render(failed, "ko").text
    assert "(The engine died" not in render(failed, "en").text
    assert "The engine died: signal 9" in render(failed, "en").text


def test_a_reason_of_an_unknown_error_stands_as_it_is():
    figures = {"part": "concurrency", "reason": "No such thing", "error": None}
    assert (
        "원인: No such thing"
        in render(Finding(1, Side.OPERATIONAL, Severity.WARNING, "phase1.not_run", figures), "ko").text
    )
