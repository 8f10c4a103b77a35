"""A real study of every phase (kept by tests/support/record_study.py): each number on its page leads to a run."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_walk import numbers_that_lead_nowhere
from record_study import KEPT

from inhouse.report.document import Document, gather
from inhouse.report.html import render_html
from inhouse.report.language import LANGUAGES
from inhouse.store.export import import_json
from inhouse.store.repository import Store
from inhouse.study.base import StudyConfig
from inhouse.study.run import PHASES, derive_findings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Document]]:
    """The store that it was brought into, and what a report gathers of it, its findings derived anew."""
    path: Path = tmp_path_factory.mktemp("whole") / "inhouse.db"
    with Store(f"sqlite:///{path}") as store:
        study, *_ = import_json(store, gzip.decompress(KEPT.read_bytes()))
        derive_findings(store, study.id, StudyConfig.from_dict(study.config))
        yield store, gather(store, study.id)


def test_it_is_of_every_phase_and_the_plan(whole: tuple[Store, Document]) -> None:
    document = whole[1]
    assert set(document.study.config["phases"]) == set(PHASES)
    assert {finding.phase for finding in document.measured} == {0, *PHASES, 6}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_number_on_its_page_is_one_link_from_its_run(whole: tuple[Store, Document], lang: str) -> None:
    walked, lost = numbers_that_lead_nowhere(whole[1], render_html(whole[1], lang))
    assert lost == []
    assert walked > 600


def test_every_piece_of_evidence_is_what_its_run_holds(whole: tuple[Store, Document]) -> None:
    metrics = {record.run.id: record.metrics for record in whole[1].runs}
    for finding in whole[1].measured:
        for item in finding.evidence:
            assert item.metric in metrics[item.run_id], finding.message
