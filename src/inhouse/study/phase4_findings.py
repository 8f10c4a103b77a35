"""The findings of phase 4, derived from kept runs by plain functions: no figure here that no run holds.

The sentences are in report/locale under the same ids; what makes a finding grave is said here.
"""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.core.records import Finding, Metric, Scalar, Severity, Side
from inhouse.store.repository import Store
from inhouse.study.patience import FLOW_S
from inhouse.study.run_data import RunData, derive_findings

# Of the questions, the share whose answer must be among the five passages that the model reads.
FOUND_GOOD, FOUND_POOR = 0.95, 0.8
# Of the questions without an answer, the share that must be refused, and of the others the share that may be.
REFUSED_GOOD, REFUSED_POOR, WRONGLY_REFUSED = 0.8, 0.5, 0.1
# Of the answers' sentences, the share that the passages must hold.
FAITHFUL_GOOD, FAITHFUL_POOR = 0.9, 0.7
# A sync after a change that takes longer than this is not run every few minutes.
SYNC_S = 60.0
CHANCE = 0.05

_Found = Iterator[Finding]


def phase4_findings(store: Store, study_id: str) -> list[Finding]:
    """All findings of phase 4 that the study's kept runs support, and one for what could not be made."""
    derive = {
        "index": _index,
        "retrieval": _retrieval,
        "chunking": _chunking,
        "answers": _answers,
        "changes": _changes,
    }
    return derive_findings(store, study_id, 4, derive)


def _index(data: RunData) -> _Found:
    documents, chunks, size = (data.find(name) for name in ("documents", "chunks", "index_bytes"))
    source, took, rate = (data.find(name) for name in ("source_bytes", "index_s", "chunks_per_minute"))
    million, memory, whole = (
        data.find(name) for name in ("million_chunks_bytes", "index_memory_bytes", "documents_in_all")
    )
    if documents is None or chunks is None or size is None or source is None:
        return
    if took is not None and rate is not None:
        figures: dict[str, Scalar] = {
            "documents": documents.value, "chunks": chunks.value, "source_bytes": source.value,
            "index_s": took.value, "chunks_per_minute": rate.value,
            "in_all": whole.value if whole and whole.value > documents.value else None,
        }  # fmt: skip
        evidence = data.evidence(documents, chunks, source, took, rate, whole)
        yield Finding(4, Side.TECHNICAL, Severity.INFO, "phase4.index", figures, evidence)
    if million is not None:
        figures = {
            "index_bytes": size.value, "chunks": chunks.value, "million_bytes": million.value,
            "memory_bytes": memory.value if memory else None,
        }  # fmt: skip
        evidence = data.evidence(size, chunks, million, memory)
        yield Finding(4, Side.BUSINESS, Severity.GOOD, "phase4.infrastructure", figures, evidence)


def _retrieval(data: RunData) -> _Found:
    first, five = data.find("recall_1", mode="hybrid"), data.find("recall_5", mode="hybrid")
    took = data.find("search_s", mode="hybrid", stat="p50")
    if first is None or five is None:
        return
    severity = Severity.GOOD if five.value >= FOUND_GOOD else Severity.INFO
    if five.value < FOUND_POOR:
        severity = Severity.WARNING
    figures: dict[str, Scalar] = {
        "questions": five.n, "first_percent": first.value * 100, "five_percent": five.value * 100,
        "low_percent": None if five.low is None else five.low * 100,
        "high_percent": None if five.high is None else five.high * 100,
        "search_s": took.value if took else None,
    }  # fmt: skip
    yield Finding(4, Side.OPERATIONAL, severity, "phase4.retrieval", figures, data.evidence(first, five, took))
    hybrid, dense, sparse = (data.find("mrr", mode=mode) for mode in ("hybrid", "dense", "sparse"))
    if hybrid is None or dense is None or sparse is None:
        return
    gains = [gain for mode in ("dense", "sparse") if (gain := data.find("mrr_gain", mode=mode)) is not None]
    clear = [gain for gain in gains if _number(gain.labels["p"]) < CHANCE / len(gains) and gain.value > 0]
    figures = {"hybrid": hybrid.value, "dense": dense.value, "sparse": sparse.value, "questions": hybrid.n}
    message = "phase4.hybrid_better" if clear else "phase4.modes_alike"
    severity = Severity.GOOD if clear else Severity.INFO
    yield Finding(4, Side.TECHNICAL, severity, message, figures, data.evidence(hybrid, dense, sparse, *gains))


def _chunking(data: RunData) -> _Found:
    gap = data.find("mrr_gap")
    if gap is None:
        return

    def of(name: str, way: Scalar) -> Metric | None:
        strategy, _, size = str(way).partition(" ")
        return data.find(name, strategy=strategy, size=int(size))

    best, worst = of("mrr", gap.labels["best"]), of("mrr", gap.labels["worst"])
    tokens, other = of("context_tokens", gap.labels["best"]), of("context_tokens", gap.labels["worst"])
    if best is None or worst is None or tokens is None or other is None:
        return
    clear = _number(gap.labels["p"]) < CHANCE
    figures: dict[str, Scalar] = {
        "best": gap.labels["best"], "worst": gap.labels["worst"], "ways": gap.labels["ways"],
        "best_mrr": best.value, "worst_mrr": worst.value, "best_tokens": tokens.value, "worst_tokens": other.value,
        "questions": gap.n,
    }  # fmt: skip
    message = "phase4.chunking_matters" if clear else "phase4.chunking_alike"
    evidence = data.evidence(gap, best, worst, tokens, other)
    yield Finding(4, Side.TECHNICAL, Severity.INFO, message, figures, evidence)


def _answers(data: RunData) -> _Found:
    added, direct = data.find("documents_added_ttft_s", stat="p50"), data.find("direct_ttft_s", stat="p50")
    search, tokens = data.find("search_s", stat="p50"), data.find("context_tokens")
    if added is not None and direct is not None and search is not None:
        figures: dict[str, Scalar] = {
            "added_s": added.value, "direct_s": direct.value, "search_s": search.value, "pairs": added.n,
            "tokens": round(tokens.value) if tokens else None,
        }  # fmt: skip
        severity = Severity.WARNING if added.value > FLOW_S else Severity.INFO
        evidence = data.evidence(added, direct, search, tokens)
        yield Finding(4, Side.TECHNICAL, severity, "phase4.latency", figures, evidence)
    holds, faithful = data.find("answer_holds"), data.find("faithfulness")
    cited = data.find("cited")
    if holds is not None and faithful is not None:
        severity = Severity.GOOD if faithful.value >= FAITHFUL_GOOD and holds.value >= FAITHFUL_POOR else Severity.INFO
        if faithful.value < FAITHFUL_POOR or holds.value < CHANCE * 10:
            severity = Severity.WARNING
        figures = {
            "questions": holds.n, "right_percent": holds.value * 100, "faithful_percent": faithful.value * 100,
            "cited_percent": cited.value * 100 if cited else None,
        }  # fmt: skip
        evidence = data.evidence(holds, faithful, cited)
        yield Finding(4, Side.OPERATIONAL, severity, "phase4.answers", figures, evidence)
    refusal, wrong = data.find("refusal"), data.find("false_refusal")
    if refusal is not None and wrong is not None:
        well = refusal.value >= REFUSED_GOOD and wrong.value <= WRONGLY_REFUSED
        severity = Severity.GOOD if well else Severity.INFO
        if refusal.value < REFUSED_POOR or wrong.value > 2 * WRONGLY_REFUSED:
            severity = Severity.WARNING
        figures = {
            "without": refusal.n, "refused_percent": refusal.value * 100, "with": wrong.n,
            "wrong_percent": wrong.value * 100,
        }  # fmt: skip
        yield Finding(4, Side.OPERATIONAL, severity, "phase4.refusal", figures, data.evidence(refusal, wrong))


def _changes(data: RunData) -> _Found:
    documents, unchanged = data.find("documents"), data.find("sync_unchanged_s")
    changed, deleted = data.find("sync_changed_s"), data.find("sync_deleted_s")
    if documents is None or unchanged is None or changed is None or deleted is None:
        return
    figures: dict[str, Scalar] = {
        "documents": documents.value, "unchanged_s": unchanged.value, "changed_s": changed.value,
        "deleted_s": deleted.value,
    }  # fmt: skip
    severity = Severity.GOOD if changed.value <= SYNC_S else Severity.WARNING
    evidence = data.evidence(documents, unchanged, changed, deleted)
    yield Finding(4, Side.BUSINESS, severity, "phase4.sync", figures, evidence)
    before, after, gone = (
        data.find(name) for name in ("found_before_sync", "found_after_sync", "found_after_deletion")
    )
    if before is None or after is None or gone is None:
        return
    well = after.value and not gone.value
    figures = {"changed_s": changed.value, "deleted_s": deleted.value}
    message = "phase4.fresh" if well else "phase4.stale"
    severity = Severity.INFO if well else Severity.SERIOUS
    evidence = data.evidence(before, after, gone, changed, deleted)
    yield Finding(4, Side.OPERATIONAL, severity, message, figures, evidence)


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) else 1.0
