"""The findings of phase 5, derived from kept runs by plain functions: no figure here that no run holds.

The sentences are in report/locale under the same ids; what makes a finding grave is said here.
"""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.core.records import Finding, Metric, Scalar, Severity, Side
from inhouse.store.repository import Store
from inhouse.study.patience import FLOW_S, PATIENCE_S
from inhouse.study.run_data import RunData, derive_findings

# What seems to come at once to whoever waits for it (Nielsen 1993, Usability Engineering, chapter 5).
INSTANT_S = 0.1
# Of the best goodput, what overload may leave of it: more is good, less than the second is serious.
GOODPUT_KEPT, GOODPUT_POOR = 0.9, 0.7
# Refusals that come later cost their senders, and the gateway, more than they must.
REFUSAL_S = 0.05
# What the guard is to catch and to let through, and what it may cost for 2,000 characters.
PERSONAL_CAUGHT, INJECTIONS_CAUGHT, HARMLESS_STOPPED = 0.95, 0.7, 0.05
GUARD_S = 0.001

_Found = Iterator[Finding]


def phase5_findings(store: Store, study_id: str) -> list[Finding]:
    """All findings of phase 5 that the study's kept runs support, and one for what could not be made."""
    derive = {
        "gateway": _gateway,
        "overload": _overload,
        "failover": _failover,
        "cache": _cache,
        "guard": _guard,
        "cost": _cost,
    }
    return derive_findings(store, study_id, 5, derive)


def _gateway(data: RunData) -> _Found:
    added, direct = data.find("added_ttft_s", stat="p50"), data.find("ttft_s", stage="direct", stat="p50")
    whole = data.find("added_e2e_s", stat="p50")
    if added is None or direct is None or direct.value <= 0:
        return
    figures: dict[str, Scalar] = {
        "added_s": added.value,
        "low_s": added.low,
        "high_s": added.high,
        "direct_s": direct.value,
        "added_percent": added.value / direct.value * 100,
        "whole_s": whole.value if whole else None,
        "pairs": added.n,
    }
    evidence = data.evidence(added, direct, whole)
    # What cannot be told from nothing is said to be so, and is no more than information.
    unclear = added.low is None or added.high is None or added.low <= 0
    severity = Severity.WARNING if not unclear and added.value > INSTANT_S else Severity.INFO
    if added.high is not None and added.high <= INSTANT_S / 10:
        severity = Severity.GOOD
    message = "phase5.gateway_within_noise" if unclear else "phase5.gateway_added"
    yield Finding(5, Side.TECHNICAL, severity, message, figures, evidence)


def _overload(data: RunData) -> _Found:
    goodput = list(data.every("goodput_requests_s"))
    shares = sorted(data.every("refused_share"), key=lambda metric: _number(metric.labels["multiple"]))
    objective = data.find("objective_s")
    if not goodput or not shares or objective is None:
        return
    refused = shares[-1]
    rate, multiple = refused.labels["rate"], refused.labels["multiple"]
    best = max(goodput, key=lambda metric: metric.value)
    under = data.find("goodput_requests_s", rate=rate)
    in_time = under.value if under else 0.0  # nothing was answered, so that there is no figure
    kept = in_time / best.value if best.value else 0.0
    ttft = _highest(data, "ttft_s", rate=rate)
    severity = Severity.GOOD if kept >= GOODPUT_KEPT else Severity.WARNING
    if kept < GOODPUT_POOR:
        severity = Severity.SERIOUS
    figures: dict[str, Scalar] = {
        "multiple": multiple,
        "goodput_requests_s": in_time,
        "best_requests_s": best.value,
        "kept_percent": kept * 100,
        "refused_percent": refused.value * 100,
        "objective_s": objective.value,
        "waiting": data.run.config.get("max_waiting"),
        "ttft_s": ttft.value if ttft else None,
        "percentile": ttft.labels["stat"] if ttft else None,
    }
    evidence = data.evidence(under, best, refused, ttft, objective)
    yield Finding(5, Side.OPERATIONAL, severity, "phase5.overload", figures, evidence)
    yield from _refusals(data, refused)
    failed = [metric for metric in data.every("failed_requests") if metric.value > 0]
    if failed:
        figures = {"failed": sum(m.value for m in failed), "requests": sum(m.n or 0 for m in failed)}
        yield Finding(5, Side.OPERATIONAL, Severity.SERIOUS, "phase5.overload_failed", figures, data.evidence(*failed))


def _refusals(data: RunData, refused: Metric) -> _Found:
    multiple = refused.labels["multiple"]
    took, told = _highest(data, "refusal_s", multiple=multiple), data.find("retry_after_share", multiple=multiple)
    if took is None or told is None:
        return
    severity = Severity.GOOD if took.value <= REFUSAL_S else Severity.INFO
    if took.value > FLOW_S or told.value < 1:
        severity = Severity.WARNING
    figures: dict[str, Scalar] = {
        "refused": took.n,
        "requests": refused.n,
        "refusal_s": took.value,
        "percentile": took.labels["stat"],
        "told_percent": told.value * 100,
    }
    evidence = data.evidence(took, told, refused)
    yield Finding(5, Side.TECHNICAL, severity, "phase5.refusals", figures, evidence)


def _failover(data: RunData) -> _Found:
    failed, retried = data.find("failed_requests"), data.find("retried_requests")
    restart, recovery = data.find("restart_s"), data.find("recovery_s")
    before, outage = data.find("e2e_s", stage="before", stat="p50"), _highest(data, "e2e_s", stage="outage")
    if failed is None or retried is None or restart is None:
        return
    figures: dict[str, Scalar] = {
        "requests": failed.n,
        "failed": failed.value,
        "retried": retried.value,
        "restart_s": restart.value,
        "recovery_s": recovery.value if recovery else None,
        "before_s": before.value if before else None,
        "outage_s": outage.value if outage else None,
        "percentile": outage.labels["stat"] if outage else None,
    }
    evidence = data.evidence(failed, retried, restart, recovery, before, outage)
    if recovery is None:
        yield Finding(5, Side.OPERATIONAL, Severity.SERIOUS, "phase5.failover_not_back", figures, evidence)
        return
    severity = Severity.GOOD if failed.value == 0 and recovery.value <= PATIENCE_S else Severity.INFO
    # Answers that had begun at the killed replica cannot be saved; of all others none may fail.
    if failed.value > data.run.config.get("slots", 0):
        severity = Severity.SERIOUS
    elif recovery.value > 6 * PATIENCE_S:
        severity = Severity.WARNING
    yield Finding(5, Side.OPERATIONAL, severity, "phase5.failover", figures, evidence)


def _cache(data: RunData) -> _Found:
    hits, asked, saved = data.find("cache_hits"), data.find("repeated_questions"), data.find("saved_tokens")
    miss, hit = (data.find("e2e_s", stage=stage, stat="p50") for stage in ("miss", "hit"))
    first, again = (data.find("ttft_s", stage=stage, stat="p50") for stage in ("miss", "hit"))
    if hits is None or asked is None or saved is None:
        return
    if hits.value < asked.value or miss is None or hit is None or hit.value <= 0:
        figures: dict[str, Scalar] = {"hits": hits.value, "questions": asked.value}
        yield Finding(5, Side.TECHNICAL, Severity.WARNING, "phase5.cache_missed", figures, data.evidence(hits, asked))
        return
    figures = {
        "questions": asked.value,
        "miss_s": miss.value,
        "hit_s": hit.value,
        "speedup_ratio": miss.value / hit.value,
        "miss_ttft_s": first.value if first else None,
        "hit_ttft_s": again.value if again else None,
        "saved_tokens": saved.value,
    }
    evidence = data.evidence(miss, hit, first, again, hits, saved)
    yield Finding(5, Side.BUSINESS, Severity.GOOD, "phase5.cache", figures, evidence)


def _guard(data: RunData) -> _Found:
    shares = {str(metric.labels["group"]): metric for metric in data.every("guard_share")}
    if {"personal", "injection", "harmless"} <= shares.keys():
        personal, injection, harmless = (shares[group] for group in ("personal", "injection", "harmless"))
        well = (
            personal.value >= PERSONAL_CAUGHT
            and injection.value >= INJECTIONS_CAUGHT
            and harmless.value <= HARMLESS_STOPPED
        )
        figures: dict[str, Scalar] = {
            f"{group}_{label}": metric.labels[label] for group, metric in shares.items() for label in ("hits", "texts")
        }
        severity = Severity.GOOD if well else Severity.WARNING
        evidence = data.evidence(personal, injection, harmless)
        yield Finding(5, Side.OPERATIONAL, severity, "phase5.guard", figures, evidence)
    usual, worst = data.find("guard_s", stat="p50"), _highest(data, "guard_s")
    if usual is not None and worst is not None:
        severity = Severity.GOOD if usual.value <= GUARD_S else Severity.INFO
        if usual.value > INSTANT_S / 10:
            severity = Severity.WARNING
        figures = {"usual_s": usual.value, "worst_s": worst.value, "percentile": worst.labels["stat"]}
        yield Finding(5, Side.TECHNICAL, severity, "phase5.guard_cost", figures, data.evidence(usual, worst))


def _cost(data: RunData) -> _Found:
    seen, lost = data.find("answers_seen"), data.find("answers_lost")
    if seen is not None and lost is not None and seen.value > 0:
        figures: dict[str, Scalar] = {"seen": seen.value, "lost": lost.value}
        evidence = data.evidence(seen, lost)
        if lost.value:
            yield Finding(5, Side.OPERATIONAL, Severity.SERIOUS, "phase5.ledger_lost", figures, evidence)
        else:
            yield Finding(5, Side.OPERATIONAL, Severity.GOOD, "phase5.ledger", figures, evidence)
    requests, prompt = data.find("ledger_requests"), data.find("used_prompt_tokens")
    output, krw, usd = data.find("used_output_tokens"), data.find("cost_krw"), data.find("cost_usd")
    if requests is None or prompt is None or output is None or not requests.value:
        return
    figures = {"requests": requests.value, "prompt_tokens": prompt.value, "output_tokens": output.value}
    if krw is None or usd is None:
        evidence = data.evidence(requests, prompt, output)
        yield Finding(5, Side.BUSINESS, Severity.INFO, "phase5.use", figures, evidence)
    else:
        thousand = 1000 / requests.value
        figures |= {"krw": krw.value * thousand, "usd": usd.value * thousand}
        evidence = data.evidence(requests, prompt, output, krw, usd)
        yield Finding(5, Side.BUSINESS, Severity.INFO, "phase5.cost", figures, evidence)


def _highest(data: RunData, name: str, **labels: Scalar) -> Metric | None:
    """The highest percentile of that figure that there were enough values for."""
    found = (data.find(name, **labels, stat=stat) for stat in ("p99", "p95", "p90", "p50"))
    return next((metric for metric in found if metric is not None), None)


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
