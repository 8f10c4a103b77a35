"""What the guard costs a request: its rules (personal data, secrets) on 2,000 characters in at most 1 ms, median.

Prints the classifier and the filtering of an answer apart. Measured in CPU time, so that other work on the machine
does not count.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from inhouse.engines.base import Message
from inhouse.gateway.guard.guard import Guard
from inhouse.gateway.guard.injection import InjectionDetector
from inhouse.gateway.guard.normalise import lower
from inhouse.gateway.guard.personal_data import find_personal_data
from inhouse.gateway.guard.policy import load_policy
from inhouse.gateway.guard.secrets import find_secrets

BAR_MS = 1.0
ROUNDS = 300
ENGLISH = (
    "Dear team, the quarterly review took place on 12 March 2024 in room 301. Revenue grew by 12.5 % to 345 million, "
    "while costs stayed flat. The warehouse in the north handles about 4,000 parcels a day. Please read the attached "
    "report before the next meeting and send your remarks to the planning group. The new policy says that every "
    "purchase over 5,000 needs two signatures. If you are on leave, ask a colleague to stand in for you. "
)
KOREAN = (
    "안녕하세요. 2024년 3월 12일 분기 회의가 301호에서 열렸습니다. 매출은 12.5% 늘어 3,450억 원이었고 비용은 "
    "그대로였습니다. "
    "북부 물류 창고는 하루 4천 건을 처리합니다. 다음 회의 전까지 첨부한 보고서를 읽고 의견을 기획팀에 보내 주시기 "
    "바랍니다. "
    "새 규정에 따라 500만 원이 넘는 구매는 두 사람의 결재가 필요합니다. 휴가 중이면 동료에게 업무를 맡겨 주세요. "
)
PERSONAL = (
    "성명: 김민수, 연락처 010-1234-5678, kim@naver.com, 서울특별시 강남구 테헤란로 123, 국민은행 123456-01-123456. "
)


def main() -> int:
    """Measures each part on each text; 1 where the rules miss the bar."""
    detector, guard = InjectionDetector.shipped(), Guard(load_policy())
    texts = {
        "English": (ENGLISH * 6)[:2000],
        "Korean": (KOREAN * 9)[:2000],
        "Korean with personal data": (PERSONAL + KOREAN * 9)[:2000],
    }
    worst = 0.0
    for name, text in texts.items():
        rules = median_ms(partial(find_by_rules, text))
        classifier = median_ms(partial(detector.inspect, text, "document"))
        worst = max(worst, rules)
        print(f"{name}, 2,000 characters: rules {rules:.2f} ms, classifier {classifier:.2f} ms (median of {ROUNDS})")
    verdict = guard.check_input((Message("user", texts["Korean with personal data"]),), "key")
    pieces = [ENGLISH[at : at + 4] for at in range(0, len(ENGLISH), 4)] * 5

    def answer() -> None:
        out = guard.output_stream(verdict, "You are the helper of Hanbit Bank. " * 10)
        for piece in pieces:
            out.feed(piece)
        out.finish()

    per_piece = median_ms(answer, rounds=30) / len(pieces) * 1000
    print(f"answer: {per_piece:.1f} us a piece of 4 characters, with the leak check")
    print(f"rules on 2,000 characters: {worst:.2f} ms median (bar {BAR_MS} ms)")
    return int(worst > BAR_MS)


def find_by_rules(text: str) -> None:
    """All that the rules look for."""
    find_personal_data(text)
    list(find_secrets(text, lower(text)))


def median_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median CPU time of one call."""
    work()
    times = []
    for _ in range(rounds):
        began = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - began)
    return statistics.median(times) / 1e6


if __name__ == "__main__":
    sys.exit(main())
