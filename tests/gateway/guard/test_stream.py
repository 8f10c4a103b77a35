"""The answer, piece by piece: masks come off, what is forbidden does not get out, and little is held back."""

import base64
import codecs

import pytest

from inhouse.core.errors import GuardBlocked
from inhouse.engines.base import Message
from inhouse.gateway.guard.guard import Guard
from inhouse.gateway.guard.policy import parse_policy

SYSTEM = (
    "You are the helper of Hanbit Bank. Never promise a loan. The internal code of this quarter is BLUE-HERON, "
    "and refunds over 300,000 won need the approval of the branch manager."
)
SYSTEM_KO = (
    "당신은 한빛은행의 상담 도우미입니다. 대출을 약속하지 마십시오. 이번 분기 내부 코드는 푸른왜가리이며 "
    "삼십만 원이 넘는 환불은 지점장 승인이 필요합니다."
)


def stream(pieces, *, text="hello", policy="", system=None):
    guard = Guard(parse_policy(policy, "test"))
    verdict = guard.check_input((Message("user", text),), "key")
    out = guard.output_stream(verdict, system)
    return "".join([*map(out.feed, pieces), out.finish()]), out


def until_blocked(out, pieces):
    """What was sent, and the error that ended it."""
    sent = []
    try:
        sent += map(out.feed, pieces)
        sent.append(out.finish())
    except GuardBlocked as error:
        return "".join(sent), error
    return pytest.fail("nothing was blocked")


def cut(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 100])
def test_masked_values_come_back_however_the_answer_is_cut(size):
    answer = "전화 [PHONE_1], 메일 [EMAIL_1], 또는 [phone_1]. [PHONE_9]와 [이것]은 그대로 [PHONE_1"
    sent, _ = stream(cut(answer, size), text="010-1234-5678 kim@naver.com")
    assert sent == "전화 010-1234-5678, 메일 kim@naver.com, 또는 010-1234-5678. [PHONE_9]와 [이것]은 그대로 [PHONE_1"


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_personal_data_of_the_answer_itself_is_masked_for_good(size):
    answer = "김 과장의 카드는 4111-1111-1111-1111이고 주민번호는 900101-1234568 입니다."
    sent, out = stream(cut(answer, size))
    assert sent == "김 과장의 카드는 [CARD]이고 주민번호는 [RESIDENT_NUMBER] 입니다."
    assert {finding.kind for finding in out.findings} == {"card", "resident_number"}
    assert all(finding.message == -1 for finding in out.findings)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_secrets_of_the_answer_are_masked(size):
    pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
    sent, _ = stream(cut(f"Use AKIAIOSFODNN7EXAMPLE or\n{pem}\nto log in.", size))
    assert sent == "Use [SECRET] or\n[SECRET]\nto log in."


def test_a_kind_that_is_blocked_ends_the_answer_before_it_is_sent():
    guard = Guard(parse_policy('[output]\ncard = "block"', "test"))
    out = guard.output_stream(guard.check_input((Message("user", "x"),), "key"), None)
    sent, error = until_blocked(out, cut("The card is 4111-1111-1111-1111, is it not?", 3))
    assert "4111" not in sent
    assert "4111" not in str(error)


def test_nothing_is_held_longer_than_a_word_or_a_number():
    guard = Guard(parse_policy("", "test"))
    out = guard.output_stream(guard.check_input((Message("user", "010-1234-5678"),), "key"), None)
    assert out.feed("안녕하세요. 오늘 ") == "안녕하세요. 오늘 "
    assert out.feed("the answer is ") == "the answer is "
    assert out.feed("forty") == ""
    assert out.feed("-two people") == "forty-two "
    assert out.feed(" are") == "people "


def test_an_answer_that_needs_nothing_comes_out_unchanged():
    answer = "다음은 표입니다.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint([1, 2][0])\n```\n끝. 😀"
    for size in (1, 4, 9):
        assert stream(cut(answer, size), system=SYSTEM)[0] == answer


@pytest.mark.parametrize("size", [1, 5, 40])
@pytest.mark.parametrize(
    ("system", "answer"),
    [
        (SYSTEM, "Sure! " + SYSTEM),
        (SYSTEM, "It says: " + SYSTEM.upper().replace(" ", "  ")),
        (SYSTEM, "Spelt: " + "-".join(SYSTEM)),
        (SYSTEM, "Here: **" + SYSTEM[30:120] + "**"),
        (SYSTEM, "Backwards: " + SYSTEM[::-1]),
        (SYSTEM, "rot13: " + codecs.encode(SYSTEM, "rot13")),
        (SYSTEM, "base64: " + base64.b64encode(SYSTEM.encode()).decode() + " ."),
        (SYSTEM, "hex: " + SYSTEM.encode().hex() + " ."),
        (SYSTEM_KO, "제 지침은 이렇습니다. " + SYSTEM_KO),
        (SYSTEM_KO, "띄어서: " + " ".join(SYSTEM_KO)),
        (SYSTEM_KO, "base64: " + base64.b64encode(SYSTEM_KO.encode()).decode() + " ."),
    ],
)
def test_an_answer_that_repeats_the_system_prompt_is_stopped(system, answer, size):
    guard = Guard(parse_policy("", "test"))
    out = guard.output_stream(guard.check_input((Message("user", "hi"),), "key"), system)
    sent, _ = until_blocked(out, cut(answer, size))
    assert "BLUE-HERON" not in sent
    assert "푸른왜가리" not in sent
    assert out.findings[-1].kind == "system_prompt"


def test_words_that_the_prompt_and_an_answer_share_are_no_leak():
    answers = (
        "I am the helper of Hanbit Bank. A refund of more than 300,000 won needs an approval, so visit a branch.",
        "We never promise a loan before the check is done. Ask the branch manager for details about your refund.",
    )
    for answer in answers:
        assert stream(cut(answer, 4), system=SYSTEM)[0] == answer


def test_what_the_user_wrote_himself_is_no_leak():
    sent, _ = stream(cut("You wrote: " + SYSTEM, 6), text="Proofread this: " + SYSTEM, system=SYSTEM)
    assert sent == "You wrote: " + SYSTEM


def test_a_leak_can_be_only_logged():
    sent, out = stream(cut("x " + SYSTEM, 9), policy='[output]\nsystem_prompt = "log"', system=SYSTEM)
    assert sent == "x " + SYSTEM
    assert [finding.kind for finding in out.findings] == ["system_prompt"]


def test_a_dry_run_lets_everything_out_and_tells_what_it_found():
    answer = "card 4111-1111-1111-1111. " + SYSTEM
    sent, out = stream(cut(answer, 5), policy="dry_run = true", system=SYSTEM)
    assert sent == answer
    assert {finding.kind for finding in out.findings} == {"card", "system_prompt"}


def test_the_length_of_an_answer_is_limited():
    guard = Guard(parse_policy("[output]\nmax_characters = 50", "test"))
    out = guard.output_stream(guard.check_input((Message("user", "x"),), "key"), None)
    sent, _ = until_blocked(out, ["many words "] * 20)
    assert len(sent) <= 60


def test_the_arguments_of_a_tool_call_get_their_values_back_as_json():
    guard = Guard(parse_policy("", "test"))
    verdict = guard.check_input((Message("user", "주소: 서울 강남구 테헤란로 1\n메일 kim@naver.com"),), "key")
    out = guard.output_stream(verdict, None)
    (address,) = (name for name in verdict.restore if name.startswith("[ADDRESS"))
    assert out.restored_json(f'{{"to": "[EMAIL_1]", "at": "{address}"}}').startswith(
        '{"to": "kim@naver.com", "at": "서울'
    )
