"""The findings of phase 1, derived from kept runs by plain functions: no figure here that no run holds.

Each function takes what it needs from the study's runs and yields a finding, or none where the runs do not
say. The sentences are in report/locale under the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inhouse.core.records import Finding, Metric, Run, Scalar, Severity, Side
from inhouse.store.repository import Store
from inhouse.study.base import outcomes
from inhouse.study.patience import FLOW_S, PATIENCE_S, READING_TOKENS_S
from inhouse.study.phase1_load_findings import load_findings
from inhouse.study.run_data import RunData, parts_made, parts_not_made

USERS_7B = 10
# The client, the system and a quiet desktop stay under this share of the whole CPU.
BUSY_PERCENT = 15.0


def phase1_findings(store: Store, study_id: str) -> list[Finding]:
    """All findings of phase 1 that the study's kept runs support, and one for each part that could not be made."""
    parts = parts_made(store, study_id, 1)
    study = store.get_run(study_id)
    found = [
        *_busy(study, parts),
        *_download(study, parts),
        *_ran(study, parts),
        *_cold_start(parts),
        *_prefill(parts),
        *load_findings(parts),
        *_memory(study, parts),
        *_gpu(study, parts),
        *_ollama(parts),
        *_llama2(parts),
    ]
    return found + list(parts_not_made(outcomes(store, study_id), 1))


def _busy(study: Run, parts: Mapping[str, RunData]) -> Iterator[Finding]:
    """Whether other programs took so much of the CPU that the figures are not this machine's at rest."""
    data = parts.get("concurrency")
    if data is None:
        return
    pairs = [
        (whole, engine)
        for whole in data.every("cpu_percent", of="system", stat="mean")
        if (engine := data.find("cpu_percent", of="engine", stat="mean", stage=whole.labels.get("stage")))
    ]
    if not pairs:
        return
    whole, engine = max(pairs, key=lambda pair: pair[0].value - pair[1].value)
    # In per cent of one core, as both are; our own client is part of what is not the engine's.
    others = (whole.value - engine.value) / study.environment.threads
    if others > BUSY_PERCENT:
        figures: dict[str, Scalar] = {"others_percent": others}
        evidence = data.evidence(whole, engine)
        yield Finding(1, Side.OPERATIONAL, Severity.WARNING, "phase1.busy", figures, evidence)


def _download(study: Run, parts: Mapping[str, RunData]) -> Iterator[Finding]:
    pull = parts.get("pull")
    size, seconds = (pull.find("download_bytes"), pull.find("download_s")) if pull else (None, None)
    if pull is None or size is None or seconds is None or seconds.value <= 0:
        return
    llama = pull.find("download_s", model="llama2:7b")
    figures: dict[str, Scalar] = {
        "model": study.model,
        "size_bytes": size.value,
        "download_s": seconds.value,
        "speed_bytes_s": size.value / seconds.value,
        "source": str(pull.run.config.get("source", "")),
        "llama_s": llama.value if llama else None,
    }
    yield Finding(
        1, Side.TECHNICAL, Severity.INFO, "phase1.download", figures, pull.evidence(size, seconds, llama)
    )  # fmt: skip


def _ran(study: Run, parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data = parts.get("prompt_length") or parts.get("concurrency")
    if data is None:
        return
    ttft = data.find("ttft_s", streams=1, stat="p50")
    decode = data.find("decode_tokens_s", streams=1)
    if ttft is None or decode is None:
        return
    severity = Severity.GOOD if decode.value >= READING_TOKENS_S else Severity.SERIOUS
    figures: dict[str, Scalar] = {
        "model": study.model,
        "ttft_s": ttft.value,
        "decode_tokens_s": decode.value,
        "prompt_tokens": ttft.labels.get("prompt_tokens"),
    }
    yield Finding(1, Side.TECHNICAL, severity, "phase1.ran", figures, data.evidence(ttft, decode))


def _cold_start(parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data = parts.get("cold_start")
    if data is None:
        return
    warm = {part: data.find("cold_start_s", part=part, cache="warm") for part in _COLD_PARTS}
    cold = data.find("cold_start_s", part="total", cache="cold")
    if any(metric is None for metric in warm.values()):
        return
    figures: dict[str, Scalar] = {f"{part}_s": metric.value for part, metric in warm.items() if metric is not None}
    worst = max(figures["total_s"], cold.value if cold else 0.0)  # type: ignore[type-var]
    severity = Severity.WARNING if worst > FLOW_S else Severity.INFO  # type: ignore[operator]
    if worst > PATIENCE_S:  # type: ignore[operator]
        severity = Severity.SERIOUS
    message = "phase1.cold_start_warm_only"
    if cold is not None:
        figures["cold_total_s"] = cold.value
        message = "phase1.cold_start"
    yield Finding(1, Side.OPERATIONAL, severity, message, figures, data.evidence(*warm.values(), cold))


_COLD_PARTS = ("total", "process", "load", "first_token")


def _prefill(parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data = parts.get("prompt_length")
    if data is None:
        return
    points = sorted(data.every("ttft_s", streams=1, stat="p50"), key=lambda m: _number(m.labels.get("prompt_tokens")))
    if len(points) < 2:
        return
    short, long = points[0], points[-1]
    speed = data.find("prefill_tokens_s", prompt_tokens=long.labels.get("prompt_tokens"))
    if speed is None:
        return
    severity = Severity.INFO if long.value < FLOW_S else Severity.WARNING
    if long.value > PATIENCE_S:
        severity = Severity.SERIOUS
    figures: dict[str, Scalar] = {
        "short_tokens": short.labels.get("prompt_tokens"),
        "short_ttft_s": short.value,
        "long_tokens": long.labels.get("prompt_tokens"),
        "long_ttft_s": long.value,
        "prefill_tokens_s": speed.value,
    }
    yield Finding(1, Side.TECHNICAL, severity, "phase1.prefill", figures, data.evidence(short, long, speed))


def _memory(study: Run, parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data = parts.get("memory")
    if data is None:
        return
    measured = sorted(data.every("memory_measured_bytes"), key=lambda m: m.value)
    pairs = [(m, _estimate(data, m)) for m in measured]
    known = [(m, e) for m, e in pairs if e is not None]
    if not known:
        return
    high, estimate = known[-1]
    error = (estimate.value / high.value - 1) * 100
    share = high.value / study.environment.ram_bytes * 100
    figures: dict[str, Scalar] = {
        "measured_bytes": high.value,
        "estimate_bytes": estimate.value,
        "error_percent": error,
        "share_percent": share,
        "context": high.labels.get("context"),
        "slots": high.labels.get("slots"),
    }
    severity = Severity.INFO if share < 50 else Severity.WARNING
    yield Finding(1, Side.TECHNICAL, severity, "phase1.memory", figures, data.evidence(high, estimate))
    single = [m for m in measured if m.labels.get("slots") == 1]
    if len(single) >= 2:
        low, high = single[0], single[-1]
        growth: dict[str, Scalar] = {
            "low_bytes": low.value,
            "high_bytes": high.value,
            "low_context": low.labels.get("context"),
            "high_context": high.labels.get("context"),
        }
        yield Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.memory_growth", growth, data.evidence(low, high))


def _estimate(data: RunData, measured: Metric) -> Metric | None:
    labels = {key: measured.labels.get(key) for key in ("context", "slots")}
    return data.find("memory_estimate_bytes", **labels)


def _gpu(study: Run, parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data = parts.get("gpu")
    if data is None:
        return
    gpu = data.find("decode_tokens_s", device="gpu")
    cpu = data.find("decode_tokens_s", device="cpu")
    if gpu is not None and cpu is not None:
        figures: dict[str, Scalar] = {
            "gpu": study.environment.gpus[0].name if study.environment.gpus else "",
            "gpu_tokens_s": gpu.value,
            "cpu_tokens_s": cpu.value,
            "speedup_ratio": gpu.value / cpu.value,
        }
        yield Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.gpu", figures, data.evidence(gpu, cpu))


def _ollama(parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data, ours = parts.get("ollama"), parts.get("concurrency")
    if data is None or ours is None:
        return
    theirs, own = data.find("decode_tokens_s", streams=1), ours.find("decode_tokens_s", streams=1)
    if theirs is not None and own is not None:
        figures: dict[str, Scalar] = {"ollama_tokens_s": theirs.value, "embedded_tokens_s": own.value}
        evidence = data.evidence(theirs) + ours.evidence(own)
        yield Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.ollama", figures, evidence)


def _llama2(parts: Mapping[str, RunData]) -> Iterator[Finding]:
    data = parts.get("llama2")
    if data is None:
        return
    memory, speed = data.find("memory_estimate_bytes"), data.find("decode_tokens_s")
    bandwidth, available = data.find("memory_bandwidth_bytes_s"), data.find("ram_bytes")
    model = data.run.model
    if memory is not None and available is not None and memory.value > available.value:
        figures: dict[str, Scalar] = {"model": model, "memory_bytes": memory.value, "available_bytes": available.value}
        evidence = data.evidence(memory, available)
        yield Finding(1, Side.TECHNICAL, Severity.BLOCKER, "phase1.llama2_no_fit", figures, evidence)
    elif memory is not None and speed is not None and bandwidth is not None:
        figures = {
            "model": model,
            "memory_bytes": memory.value,
            "tokens_s": speed.value,
            "low_tokens_s": speed.low,
            "high_tokens_s": speed.high,
            "bandwidth_bytes_s": bandwidth.value,
        }
        severity = Severity.INFO if speed.value >= READING_TOKENS_S else Severity.SERIOUS
        evidence = data.evidence(speed, memory, bandwidth)
        yield Finding(1, Side.TECHNICAL, severity, "phase1.llama2_prediction", figures, evidence)
    needed = data.find("bandwidth_needed_bytes_s")
    if needed is not None and bandwidth is not None:
        ratio = needed.value / bandwidth.value
        figures = {
            "users": needed.labels.get("users"),
            "reading_tokens_s": READING_TOKENS_S,
            "bandwidth_bytes_s": needed.value,
            "have_bytes_s": bandwidth.value,
            "ratio": ratio,
        }
        severity = Severity.GOOD if ratio <= 1 else Severity.SERIOUS
        yield Finding(
            1, Side.BUSINESS, severity, "phase1.hardware_7b", figures, data.evidence(needed, bandwidth)
        )  # fmt: skip


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
