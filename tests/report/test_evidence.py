"""Every number in the report leads to its run; a run that is removed takes the sentences that stood on it along."""

import math
import re
from itertools import product

import pytest
from page_walk import numbers_that_lead_nowhere

from inhouse.core.records import Finding
from inhouse.report.document import Document, gather
from inhouse.report.html import render_html
from inhouse.report.language import LANGUAGES, catalogue
from inhouse.report.message import render
from inhouse.study.phase1_findings import READING_TOKENS_S, phase1_findings


@pytest.fixture(params=["document", "judged_document"])
def either_document(request: pytest.FixtureRequest) -> Document:
    """A study of phase 1, and one that judged its model as well."""
    found: Document = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_number_on_the_page_is_one_link_from_its_run(either_document: Document, lang: str):
    walked, lost = numbers_that_lead_nowhere(either_document, render_html(either_document, lang))
    assert lost == []
    assert walked > 150


def test_every_figure_of_a_finding_follows_from_its_evidence(store, study, document):
    """Findings as really derived: each number is a metric's, a label's or a config's, or arithmetic of two of them."""
    for finding in phase1_findings(store, study.id):
        for name, value in finding.figures.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                assert follows(float(value), finding, document), f"{finding.message}: {name} = {value}"


def test_every_figure_of_what_was_judged_follows_from_its_evidence(judged_document: Document):
    judged = [finding for finding in judged_document.measured if finding.phase == 2]
    assert len(judged) > 15
    for finding in judged:
        methods = {str(e.metric.labels["method"]) for e in finding.evidence if "method" in e.metric.labels}
        for name, value in finding.figures.items():
            if name == "methods":
                assert value == len(methods - {"chance", "answer length", "token probability"})
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                assert follows(float(value), finding, judged_document), f"{finding.message}: {name} = {value}"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_share_that_was_judged_is_said_without_its_interval(lang: str):
    """In titles and sentences of phase 2, each share is followed by the ends of its interval."""
    words = {
        key: text for key, text in catalogue(lang).items() if key.startswith("phase2.") and not key.endswith(".do")
    }
    shares = 0
    for key, text in words.items():
        for name in re.findall(r"\{(\w+?)_percent\}", text):
            if not name.endswith(("_low", "_high")):
                shares += 1
                assert re.search(rf"\{{{name}_low_percent\}}(?: to |~)\{{{name}_high_percent\}}", text), (key, name)
    assert shares > 40


def follows(value: float, finding: Finding, document: Document) -> bool:
    known = set(_numbers(finding, document))
    if any(close(value, one * factor) for one in known for factor in (1, 100, 3600)):
        return True
    return any(
        close(value, result)
        for a, b in product(known, repeat=2)
        for result in ([a / b, a / b * 100, (a / b - 1) * 100] if b else []) + [a + b, a - b]
    )


def _numbers(finding: Finding, document: Document):
    yield READING_TOKENS_S
    yield float(document.study.environment.ram_bytes)
    for item in finding.evidence:
        metric = item.metric
        yield metric.value
        yield from (float(x) for x in (metric.low, metric.high, metric.n) if x is not None)
        yield from (float(x) for x in metric.labels.values() if isinstance(x, (int, float)))
    streams = [m.labels["streams"] for r in document.runs for m in r.metrics if "streams" in m.labels]
    yield float(max(streams))


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def test_every_piece_of_evidence_is_what_its_run_holds(either_document: Document):
    document = either_document
    metrics = {record.run.id: record.metrics for record in document.runs}
    for finding in document.findings:
        for item in finding.evidence:
            assert item.metric in metrics[item.run_id], finding.message


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_removed_run_takes_every_sentence_that_stood_on_it(store, study, document, lang):
    for record in document.runs:
        before = gather(store, study.id)
        stood = [f for f in before.findings if any(item.run_id == record.run.id for item in f.evidence)]
        assert stood
        store.delete_run(record.run.id)
        page = re.sub(r"<[^>]+>|\u2060", "", render_html(gather(store, study.id), lang)).replace("&#39;", "'")
        for finding in stood:
            assert render(finding, lang).text not in page, finding.message
        assert record.run.id not in page
    nothing = gather(store, study.id)
    assert nothing.decision.severity is None
    assert len(nothing.withdrawn) == len(document.measured)
