"""Small office tasks for phase 3, in Korean and English: what is asked, which tool answers it, and with what.

Each has one right tool; the calculator's result is computed, so that any expression that comes to it is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from inhouse.agent.evaluation.ast_check import Call
from inhouse.agent.evaluation.tasks import Check, Task
from inhouse.agent.tools.arithmetic import compute
from inhouse.agent.tools.registry import tools
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings
from inhouse.engines.base import Message

TOOLS = ("calculator", "clock", "weather", "web_search", "ticket")
_DAY = date(2026, 3, 1)
# Question in Korean, in English, the right tool (none: no call), and what its arguments must hold.
_TASKS: tuple[tuple[str, str, str, str], ...] = (
    ("2340의 17%는 얼마인가요?", "What is 17% of 2340?", "calculator", "397.8"),
    ("서울의 오늘 날씨를 알려 주세요.", "What is the weather in Seoul today?", "weather", "서울|seoul"),
    ("안녕하세요, 반갑습니다.", "Hello, nice to meet you.", "", ""),
    ("1234 곱하기 5678을 계산해 주세요.", "Compute 1234 times 5678.", "calculator", "7006652"),
    ("지금 몇 시인가요?", "What time is it now?", "clock", ""),
    (
        "3층 프린터가 고장 났다고 티켓을 열어 주세요.",
        "Open a ticket: the printer on floor 3 is broken.",
        "ticket",
        "프린터|printer",
    ),
    (
        "웹에서 파이썬 3.14의 새 기능을 찾아 주세요.",
        "Search the web for what is new in Python 3.14.",
        "web_search",
        "3.14",
    ),
    ("'고맙습니다'를 영어로 하면 무엇인가요?", "How do you say 'thank you' in French?", "", ""),
    ("5 km는 몇 m인가요? 계산기로 구해 주세요.", "How many m are 5 km? Use the calculator.", "calculator", "5000"),
    ("부산에 비가 오나요?", "Is it raining in Busan?", "weather", "부산|busan"),
    ("144의 제곱근을 계산해 주세요.", "Compute the square root of 144.", "calculator", "12"),
    ("뉴욕은 지금 몇 시인가요?", "What time is it in New York now?", "clock", "america/new_york"),
)


def office_tasks(lang: str) -> list[Task]:
    """The tasks in that language; category "call" or "none"."""
    offered = tuple(tool.spec for tool in tools(TOOLS, Settings()).values())
    return [
        Task(f"office {number}", "call" if tool else "none", (Message("user", ko if lang == "ko" else en),), offered,
             _check(tool, holds))
        for number, (ko, en, tool, holds) in enumerate(_TASKS)
    ]  # fmt: skip


def _check(tool: str, holds: str) -> Check:
    def check(calls: Sequence[Call]) -> str:
        if not tool:
            return "needless call" if calls else ""
        if len(calls) != 1:
            return "no call" if not calls else "wrong number of calls"
        name, arguments = calls[0]
        if name != tool:
            return "wrong function"
        if tool == "calculator":
            try:
                return "" if compute(str(arguments.get("expression", "")), _DAY)[1] == holds else "wrong value"
            except ToolError:
                return "wrong value"
        told = " ".join(map(str, arguments.values())).casefold()
        return "" if any(part in told for part in holds.split("|")) else "wrong value"

    return check
