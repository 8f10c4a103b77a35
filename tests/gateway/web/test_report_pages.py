"""How a report is made for the pages: apart from the gateway, which goes on whatever becomes of it."""

from __future__ import annotations

import os
import signal

import pytest

from inhouse.core.errors import GatewayError
from inhouse.gateway.web.report_pages import _Made

KILLED = "01abc"


def make(study_id: str, lang: str, theme: str) -> str:
    if study_id == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{study_id} {lang}{theme}"


async def test_a_report_whose_process_is_killed_is_told_of_and_the_next_one_is_made():
    pages = _Made(make)
    with pytest.raises(GatewayError, match=f"inhouse report {KILLED}"):
        await pages.page((1,), KILLED, "ko", "")
    assert await pages.page((2,), "01def", "ko", "") == "01def ko"
