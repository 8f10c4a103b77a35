"""What each part of the report is about: the themes of the three sides, and which finding belongs to which.

Knows messages by their ids only. A finding that no theme names goes to its side's default, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inhouse.core.records import Finding, Side


@dataclass(frozen=True, slots=True)
class Theme:
    """A part of a side: the message ids (or their beginnings, ending in a dot) and the charts that belong to it."""

    name: str
    messages: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()


THEMES: Mapping[Side, tuple[Theme, ...]] = {
    Side.TECHNICAL: (
        Theme(
            "infrastructure",
            (
                *("phase1.download", "phase1.memory", "phase1.memory_growth", "phase1.gpu", "phase4.index"),
                *("phase1.llama2_prediction", "phase1.llama2_no_fit"),
            ),
            ("memory_by_context",),
        ),
        Theme("performance", (), ("latency_by_prompt", "ttft_by_streams", "throughput_by_streams")),
        Theme(
            "complexity", ("phase0.", "phase2.json", "phase3.saved", "phase4.chunking_matters", "phase4.chunking_alike")
        ),
    ),
    Side.OPERATIONAL: (
        Theme(
            "quality",
            (
                *("phase1.busy", "phase2.", "phase3.variance", "phase3.one_path", "phase4.retrieval"),
                *("phase4.answers", "phase4.refusal"),
            ),
            ("needles_ko", "needles_en"),
        ),
        Theme("upkeep", (), ("cpu_percent", "rss_bytes", "gpu_percent", "cold_start_parts")),
        Theme("security", ("phase3.injection", "phase5.guard", "phase5.ledger", "phase5.ledger_lost")),
    ),
    Side.BUSINESS: (
        Theme("people", ("phase4.sync", "phase6.people")),
        Theme("ownership", (), ("cost_bills", "cost_swings")),
        Theme(
            "market",
            (
                *("phase6.cheaper", "phase6.dearer", "phase6.break_even_users", "phase6.break_even_requests"),
                *("phase6.no_break_even_users", "phase6.no_break_even_requests"),
            ),
            ("cost_by_users",),
        ),
    ),
}
"""The themes of each side, in the order in which they are read."""

_DEFAULT = {Side.TECHNICAL: "performance", Side.OPERATIONAL: "upkeep", Side.BUSINESS: "ownership"}


def theme_of(finding: Finding) -> str:
    """The name of the theme that a finding belongs to; always one of its own side."""
    for theme in THEMES[finding.side]:
        for message in theme.messages:
            if finding.message == message or (message.endswith(".") and finding.message.startswith(message)):
                return theme.name
    return _DEFAULT[finding.side]
