"""A particle follows the sound of the word before it, whatever the word is made of."""

import pytest

from inhouse.report.josa import attach


@pytest.mark.parametrize(
    ("word", "particle", "expected"),
    [
        ("모델", "을(를)", "모델을"),
        ("메모리", "을(를)", "메모리를"),
        ("장비", "이(가)", "장비가"),
        ("엔진", "은(는)", "엔진은"),
        ("서버", "과(와)", "서버와"),
        ("서울", "(으)로", "서울로"),  # ㄹ takes 로
        ("서울", "을(를)", "서울을"),
        ("부산", "(으)로", "부산으로"),
        ("7", "(으)로", "7로"),
        ("7", "이(가)", "7이"),
        ("10", "(으)로", "10으로"),
        ("1,000", "을(를)", "1,000을"),
        ("2.5", "은(는)", "2.5는"),
        ("초당 41.2토큰", "(으)로", "초당 41.2토큰으로"),
        ("20.4배", "(으)로", "20.4배로"),
        ("1분 18초", "을(를)", "1분 18초를"),
        ("1.21\u00a0GB", "(으)로", "1.21\u00a0GB로"),
        ("18.4\u00a0GB/s", "과(와)", "18.4\u00a0GB/s와"),
        ("14.7%", "을(를)", "14.7%를"),
        ("llama2:7b", "은(는)", "llama2:7b는"),  # 비
        ("smollm2:135m", "은(는)", "smollm2:135m은"),  # 엠
        ("vLLM", "을(를)", "vLLM을"),
        ("GPU", "이(가)", "GPU가"),
        ("URL", "(으)로", "URL로"),
        ("model", "을(를)", "model을"),
        ("Python", "(으)로", "Python으로"),
        ("NVIDIA H100 (80 GB)", "을(를)", "NVIDIA H100 (80 GB)를"),
        ("‘과부하’", "이(가)", "‘과부하’가"),
        ("–", "을(를)", "–를"),
        ("", "을(를)", "를"),
    ],
)
def test_the_particle_follows_the_final_sound(word: str, particle: str, expected: str):
    assert attach(word, particle) == expected
