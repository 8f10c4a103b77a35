"""How a report is made for the pages: apart from the gateway, which goes on whatever becomes of it."""

from __future__ import annotations

import os
import signal

import pytest

from inhouse.core.errors import GatewayError
from inhouse.gateway.web.report_pages import _Made


def killed(study_id: str, lang: str, theme: str) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def made(study_id: str, lang: str, theme: str) -> str:
    return f"{study_id} {lang}{theme}"


async def test_a_report_whose_process_is_killed_is_told_of_and_the_next_one_is_made():
    pages = _Made(killed)
    with pytest.raises(GatewayError, match="inhouse report 01abc"):
        await pages.page((1,), "01abc", "ko", "")
    assert await _Made(made).page((1,), "01abc", "ko", "") == "01abc ko"
