"""The findings of phase 1 about requests at the same time. See phase1_findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inhouse.core.records import Finding, Metric, Scalar, Severity, Side
from inhouse.study.patience import FLOW_S, PATIENCE_S, READING_TOKENS_S
from inhouse.study.run_data import RunData


def load_findings(parts: Mapping[str, RunData]) -> Iterator[Finding]:
    """What requests at the same time do to a wait, to each reader and to the throughput; and how many failed."""
    data = parts.get("concurrency")
    if data is None:
        return
    output = {_number(m.labels.get("streams")): m for m in data.every("output_tokens_s") if "streams" in m.labels}
    if len(output) >= 2 and 1 in output:
        streams = max(output)
        yield from _ttft_under_load(data, output, streams)
        yield from _decode_per_user(data, streams)
        yield from _knee(data, output)
        yield from _cpu_load(data, streams)
    yield from _errors(data)


def _ttft_under_load(data: RunData, output: Mapping[float, Metric], streams: float) -> Iterator[Finding]:
    # The highest percentile that the number of requests could carry.
    stats = (data.find("ttft_s", streams=streams, stat=stat) for stat in ("p95", "p90", "p50"))
    under = next((metric for metric in stats if metric is not None), None)
    alone = data.find("ttft_s", streams=1, stat="p50")
    if under is None or alone is None or alone.value <= 0:
        return
    slowdown = under.value / alone.value
    severity = Severity.GOOD if under.value < FLOW_S else Severity.WARNING
    if under.value > PATIENCE_S or slowdown > 10:
        severity = Severity.SERIOUS
    figures: dict[str, Scalar] = {
        "streams": streams,
        "percentile": str(under.labels["stat"]),
        "ttft_p95_s": under.value,
        "ttft_one_s": alone.value,
        "slowdown_ratio": slowdown,
        "output_tokens_s": output[streams].value,
        "gain_ratio": output[streams].value / output[1].value,
    }
    evidence = data.evidence(under, alone, output[streams], output[1])
    yield Finding(1, Side.OPERATIONAL, severity, "phase1.ttft_under_load", figures, evidence)


def _decode_per_user(data: RunData, streams: float) -> Iterator[Finding]:
    each, alone = data.find("decode_tokens_s", streams=streams), data.find("decode_tokens_s", streams=1)
    if each is None or alone is None:
        return
    severity = Severity.GOOD if each.value >= READING_TOKENS_S else Severity.SERIOUS
    figures: dict[str, Scalar] = {
        "streams": streams,
        "user_tokens_s": each.value,
        "alone_tokens_s": alone.value,
        "reading_tokens_s": READING_TOKENS_S,
    }
    yield Finding(1, Side.TECHNICAL, severity, "phase1.decode_per_user", figures, data.evidence(each, alone))


def _knee(data: RunData, output: Mapping[float, Metric]) -> Iterator[Finding]:
    """The knee: the fewest streams whose throughput is within 10 % of the best that any number of them reached."""
    best = max(metric.value for metric in output.values())
    streams = min(n for n, metric in output.items() if metric.value >= 0.9 * best)
    at = output[streams]
    figures: dict[str, Scalar] = {"streams": streams, "output_tokens_s": at.value}
    if streams < max(output):
        figures["tried"] = max(output)
        yield Finding(1, Side.OPERATIONAL, Severity.WARNING, "phase1.knee", figures, data.evidence(at))
    else:
        yield Finding(1, Side.OPERATIONAL, Severity.INFO, "phase1.no_knee", figures, data.evidence(at))
    requests = data.find("requests_s", streams=streams)
    if requests is not None:
        figures = {
            "requests_hour": requests.value * 3600,
            "prompt_tokens": requests.labels.get("prompt_tokens"),
            "output_tokens": requests.labels.get("output_tokens"),
            "streams": streams,
        }
        yield Finding(
            1, Side.BUSINESS, Severity.INFO, "phase1.capacity_day", figures, data.evidence(requests)
        )  # fmt: skip


def _cpu_load(data: RunData, streams: float) -> Iterator[Finding]:
    cpu = data.find("cpu_percent", streams=streams, stat="mean", of="engine")
    if cpu is not None:
        figures: dict[str, Scalar] = {"cpu_percent": cpu.value, "streams": streams}
        yield Finding(1, Side.OPERATIONAL, Severity.INFO, "phase1.cpu_load", figures, data.evidence(cpu))


def _errors(data: RunData) -> Iterator[Finding]:
    rates = [m for m in data.every("error_rate") if m.value > 0]
    counts = {m.labels.get("stage"): m.value for m in data.every("requests")}
    if not rates:
        return
    failed = sum(round(m.value * counts.get(m.labels.get("stage"), 0)) for m in rates)
    kinds = list(data.every("errors"))
    kind = max(kinds, key=lambda m: m.value).labels.get("kind") if kinds else None
    figures: dict[str, Scalar] = {"failed": failed, "requests": int(sum(counts.values())), "kind": kind}
    yield Finding(1, Side.OPERATIONAL, Severity.SERIOUS, "phase1.errors", figures, data.evidence(*rates))


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
