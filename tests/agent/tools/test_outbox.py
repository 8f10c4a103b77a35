"""Drafts, tickets and events are written once for a call, however often it is made."""

from __future__ import annotations

import email
import json
from email.policy import default

import pytest
from tool_calls_made import make_call

from inhouse.agent.tools.calendar import read_events
from inhouse.agent.tools.registry import tools
from inhouse.core.errors import ToolError
from inhouse.core.settings import Settings

NAMES = ["email_draft", "ticket", "calendar_add", "calendar_events"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("INHOUSE_TOOL_OUTBOX", str(tmp_path))
    monkeypatch.setenv("TZ", "Asia/Seoul")
    return tools(NAMES, Settings())


async def test_a_draft_is_a_mail_that_programs_can_open_and_is_written_once(made, tmp_path):
    for _ in range(2):
        await make_call(made["email_draft"], to=["lee@example.com"], subject="회의 결과", body="안녕하세요")
    (file,) = (tmp_path / "drafts").iterdir()
    message = email.message_from_bytes(file.read_bytes(), policy=default)

    assert (message["To"], message["Subject"]) == ("lee@example.com", "회의 결과")
    assert message.get_content().strip() == "안녕하세요"


@pytest.mark.parametrize(
    "given",
    [
        {"to": ["not an address"], "subject": "s"},
        {"to": ["a@b.c\nBcc: evil@example.com"], "subject": "s"},
        {"to": ["a@b.c"], "subject": "s\r\nBcc: evil@example.com"},
    ],
)
async def test_no_head_is_smuggled_into_a_draft(made, tmp_path, given):
    with pytest.raises(ToolError):
        await make_call(made["email_draft"], body="b", **given)
    assert not (tmp_path / "drafts").exists()


async def test_a_ticket_says_who_and_when(made, tmp_path):
    await make_call(made["ticket"], title="프린터", description="종이 걸림", key="../../x")
    (file,) = (tmp_path / "tickets").iterdir()

    assert file.name == "______x.json"
    assert json.loads(file.read_text()) == {
        "title": "프린터", "description": "종이 걸림", "priority": "normal", "by": "kim",
        "at": "2026-03-01T12:00:00+00:00",
    }  # fmt: skip


async def test_an_event_is_added_and_found_on_its_day(made):
    await make_call(made["calendar_add"], title="주간 회의, " + "긴 제목 " * 20, start="2026-03-02T14:00:00+09:00")
    found = await make_call(made["calendar_events"], first="2026-03-02", last="2026-03-03")

    assert "주간 회의, 긴 제목" in found.content
    assert (await make_call(made["calendar_events"], first="2026-03-05")).content == "No events."


def test_other_programs_events_are_read():
    from zoneinfo import ZoneInfo

    text = (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;TZID=America/New_York:20260302T090000\r\n"
        "SUMMARY:Call\\, with\r\n  NY\r\nRRULE:FREQ=WEEKLY\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20260303\r\nSUMMARY:Day off\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nDTSTART:broken\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    call, off = read_events(text, ZoneInfo("Asia/Seoul"))

    assert (f"{call.start:%m-%d %H:%M}", call.title, call.repeats) == ("03-02 23:00", "Call, with NY", True)
    assert (off.all_day, (off.end - off.start).days) == (True, 1)
