"""Builds a study in a store through the Store's own methods, with figures as a small machine gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inhouse.core.environment import Environment
from inhouse.core.records import Evidence, Finding, Metric, Run, RunStatus, Scalar, Series, Severity, Side
from inhouse.store.repository import Store

ENVIRONMENT = Environment(
    cpu="AMD EPYC 7B13",
    cores=2,
    threads=4,
    instruction_sets=("avx", "avx2", "fma"),
    ram_bytes=8_232_660_992,
    os="Linux 6.1.0 x86_64",
    python="3.11.9",
    memory_bandwidth_bytes_s=18.4e9,
    engine="embedded",
    engine_version="2026.10",
    model_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
)
_LAYOUT: dict[str, Any] = {
    "method": "predicted: weights, KV cache and buffers from the model's layout",
    "predicted": True,
}
_ROOFLINE: dict[str, Any] = {"method": "predicted: bandwidth roofline", "predicted": True}
MODEL = "qwen2.5-coder:0.5b"


def build_study(store: Store, *, model: str = MODEL, environment: Environment = ENVIRONMENT) -> Run:
    """A finished study of phase 1: every part but Ollama and the GPU."""
    study = store.create_run(
        "study",
        {"model": model, "budget_s": 600, "lang": "ko", "seed": 0, "phases": [1]},
        seed=0,
        environment=environment,
        model=model,
    )
    runs = {
        "pull": _part(store, study, "pull", "pull", _pull(model)),
        "cold_start": _part(store, study, "cold_start", "cold_start", _cold_start()),
        "prompt_length": _part(store, study, "bench", "prompt_length", _prompt_length()),
        "concurrency": _part(store, study, "bench", "concurrency", _concurrency()),
        "memory": _part(store, study, "memory", "memory", _memory()),
        "llama2": _part(store, study, "doctor", "llama2", _llama2(), model="llama2:7b"),
    }
    store.add_series(runs["concurrency"].id, _series())
    outcomes: dict[str, dict[str, str]] = {name: {"status": "done", "run": run.id} for name, run in runs.items()}
    outcomes["gpu"] = {"status": "skipped", "reason": "No GPU was found on this machine"}
    outcomes["ollama"] = {"status": "skipped", "reason": "No Ollama server answered at http://127.0.0.1:11434"}
    store.set_progress(study.id, {"parts": outcomes})
    store.set_findings(study.id, 1, findings(store, runs, model))
    return store.finish_run(study.id, RunStatus.DONE)


def findings(store: Store, runs: dict[str, Run], model: str) -> list[Finding]:
    """What a study derives from such runs."""

    def stands_on(part: str, *wanted: tuple[str, dict[str, Scalar]]) -> tuple[Evidence, ...]:
        metrics = store.metrics(runs[part].id)
        return tuple(
            Evidence(
                runs[part].id,
                next(m for m in metrics if m.name == name and all(m.labels.get(k) == v for k, v in labels.items())),
            )
            for name, labels in wanted
        )

    return [
        Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.download",
                {"model": model, "size_bytes": 491_400_064.0, "download_s": 78.4, "speed_bytes_s": 6_267_858.0,
                 "source": "package_index", "llama_s": 610.2},
                stands_on("pull", ("download_bytes", {}), ("download_s", {}))),
        Finding(1, Side.TECHNICAL, Severity.GOOD, "phase1.ran",
                {"model": model, "ttft_s": 0.412, "decode_tokens_s": 24.229, "prompt_tokens": 64},
                stands_on("prompt_length", ("ttft_s", {"stat": "p50"}), ("decode_tokens_s", {}))),
        Finding(1, Side.OPERATIONAL, Severity.WARNING, "phase1.cold_start",
                {"total_s": 1.62, "process_s": 0.31, "load_s": 0.92, "first_token_s": 0.39, "cold_total_s": 4.8},
                stands_on("cold_start", ("cold_start_s", {"part": "total", "cache": "warm"}),
                          ("cold_start_s", {"part": "total", "cache": "cold"}))),
        Finding(1, Side.OPERATIONAL, Severity.SERIOUS, "phase1.ttft_under_load",
                {"streams": 8, "percentile": "p95", "ttft_p95_s": 12.42, "ttft_one_s": 0.61, "slowdown_ratio": 20.36,
                 "output_tokens_s": 41.2, "gain_ratio": 1.87},
                stands_on("concurrency", ("ttft_s", {"stat": "p95", "streams": 8}),
                          ("ttft_s", {"stat": "p50", "streams": 1}), ("output_tokens_s", {"streams": 8}))),
        Finding(1, Side.TECHNICAL, Severity.GOOD, "phase1.decode_per_user",
                {"streams": 8, "user_tokens_s": 5.6, "alone_tokens_s": 23.1, "reading_tokens_s": 5.157},
                stands_on("concurrency", ("decode_tokens_s", {"streams": 8}))),
        Finding(1, Side.OPERATIONAL, Severity.WARNING, "phase1.knee",
                {"streams": 4, "output_tokens_s": 40.1, "tried": 8},
                stands_on("concurrency", ("output_tokens_s", {"streams": 4}))),
        Finding(1, Side.BUSINESS, Severity.INFO, "phase1.capacity_day",
                {"requests_hour": 3007.5, "prompt_tokens": 128, "output_tokens": 48, "streams": 4},
                stands_on("concurrency", ("requests_s", {"streams": 4}))),
        Finding(1, Side.TECHNICAL, Severity.WARNING, "phase1.prefill",
                {"short_tokens": 64, "short_ttft_s": 0.412, "long_tokens": 2048, "long_ttft_s": 9.87,
                 "prefill_tokens_s": 207.5},
                stands_on("prompt_length", ("ttft_s", {"stat": "p50", "prompt_tokens": 2048}))),
        Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.memory",
                {"measured_bytes": 1_212_000_000.0, "estimate_bytes": 1_178_000_000.0, "error_percent": -2.8,
                 "share_percent": 14.7, "context": 4096, "slots": 4},
                stands_on("memory", ("memory_measured_bytes", {"slots": 4}), ("memory_estimate_bytes", {"slots": 4}))),
        Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.memory_growth",
                {"low_bytes": 742e6, "high_bytes": 861e6, "low_context": 512, "high_context": 8192},
                stands_on("memory", ("memory_measured_bytes", {"context": 512}))),
        Finding(1, Side.OPERATIONAL, Severity.INFO, "phase1.cpu_load", {"cpu_percent": 194.2, "streams": 8},
                stands_on("concurrency", ("cpu_percent", {"streams": 8}))),
        Finding(1, Side.TECHNICAL, Severity.SERIOUS, "phase1.llama2_prediction",
                {"model": "llama2:7b", "memory_bytes": 5.92e9, "tokens_s": 3.31, "low_tokens_s": 2.8,
                 "high_tokens_s": 3.8, "bandwidth_bytes_s": 18.4e9},
                stands_on("llama2", ("memory_estimate_bytes", {}), ("decode_tokens_s", {}))),
        Finding(1, Side.BUSINESS, Severity.SERIOUS, "phase1.hardware_7b",
                {"users": 10, "reading_tokens_s": 5.157, "bandwidth_bytes_s": 287e9, "have_bytes_s": 18.4e9,
                 "ratio": 15.6},
                stands_on("llama2", ("bandwidth_needed_bytes_s", {}), ("memory_bandwidth_bytes_s", {}))),
        Finding(1, Side.TECHNICAL, Severity.INFO, "phase1.no_gpu", {}),
        Finding(1, Side.OPERATIONAL, Severity.INFO, "phase1.not_run",
                {"part": "ollama", "reason": "No Ollama server answered at http://127.0.0.1:11434"}),
    ]  # fmt: skip


def _part(
    store: Store, study: Run, kind: str, name: str, metrics: Iterable[Metric], *, model: str | None = None
) -> Run:
    run = store.create_run(
        kind,
        {"name": name},
        seed=0,
        environment=study.environment,
        model=model or study.model,
        engine="embedded",
        study_id=study.id,
    )
    store.set_metrics(run.id, metrics)
    return store.finish_run(run.id, RunStatus.DONE)


def _pull(model: str) -> list[Metric]:
    return [
        Metric("download_bytes", 491_400_064, "bytes", {"model": model}),
        Metric("download_s", 78.4, "s", {"model": model}),
        Metric("download_s", 610.2, "s", {"model": "llama2:7b"}, method="predicted: same speed", predicted=True),
    ]


def _cold_start() -> list[Metric]:
    times = {
        "warm": {"process": 0.31, "load": 0.92, "first_token": 0.39, "total": 1.62},
        "cold": {"process": 0.52, "load": 3.84, "first_token": 0.44, "total": 4.8},
    }
    return [
        _interval("cold_start_s", value, "s", {"part": part, "cache": cache, "stat": "p50"}, n=3)
        for cache, parts in times.items()
        for part, value in parts.items()
    ]


def _prompt_length() -> list[Metric]:
    metrics = []
    for length, ttft in ((64, 0.412), (256, 1.21), (1024, 4.78), (2048, 9.87)):
        labels: dict[str, Scalar] = {
            "stage": f"1 stream, {length}/48 tokens", "streams": 1, "prompt_tokens": length, "output_tokens": 48,
        }  # fmt: skip
        metrics += _latency(labels, ttft, 24.3 - length / 900, n=30)
        metrics.append(_interval("prefill_tokens_s", length / ttft, "1/s", labels, n=30))
    return metrics


def _concurrency() -> list[Metric]:
    metrics = []
    points = ((1, 0.61, 23.1, 22.0), (2, 1.12, 17.2, 31.4), (4, 3.4, 10.3, 40.1), (8, 10.1, 5.6, 41.2))
    for streams, ttft, decode, output in points:
        labels: dict[str, Scalar] = {
            "stage": f"{streams} streams, 128/48 tokens", "streams": streams, "prompt_tokens": 128, "output_tokens": 48,
        }  # fmt: skip
        metrics += _latency(labels, ttft, decode, n=60)
        metrics += [
            _interval("output_tokens_s", output, "1/s", labels, n=60),
            _interval("requests_s", output / 48, "1/s", labels, n=60),
            Metric("error_rate", 0.0, "", labels, n=60),
            Metric("requests", 60, "", labels),
            Metric("cpu_percent", 194.2, "%", {**labels, "stat": "mean", "of": "engine"}, n=400),
        ]
    return metrics


def _latency(labels: dict[str, Scalar], ttft: float, decode: float, *, n: int) -> list[Metric]:
    spread = {"mean": 1.03, "p50": 1.0, "p90": 1.15, "p95": 1.23, "p99": 1.4}
    metrics = [_interval("decode_tokens_s", decode, "1/s", labels, n=n)]
    for name, value in (("ttft_s", ttft), ("tpot_s", 1 / decode), ("e2e_s", ttft + 47 / decode)):
        metrics += [
            _interval(name, value * factor, "s", {**labels, "stat": stat}, n=n) for stat, factor in spread.items()
        ]
    return metrics


def _memory() -> list[Metric]:
    points = ((512, 1, 742, 720), (2048, 1, 764, 741), (4096, 1, 796, 775), (8192, 1, 861, 838), (4096, 4, 1212, 1178))
    metrics = []
    for context, slots, measured, estimate in points:
        labels: dict[str, Scalar] = {"context": context, "slots": slots}
        metrics += [
            Metric("memory_measured_bytes", measured * 1e6, "bytes", labels),
            Metric("memory_estimate_bytes", estimate * 1e6, "bytes", labels, **_LAYOUT),
        ]  # fmt: skip
    return metrics


def _llama2() -> list[Metric]:
    return [
        Metric("memory_estimate_bytes", 5.92e9, "bytes", {"context": 4096, "slots": 1}, **_LAYOUT),
        Metric("decode_tokens_s", 3.31, "tokens/s", {}, 2.8, 3.8, **_ROOFLINE),
        Metric("memory_bandwidth_bytes_s", 18.4e9, "bytes/s", {}, 17.9e9, 18.8e9, n=5),
        Metric("bandwidth_needed_bytes_s", 287e9, "bytes/s", {"users": 10}, **_ROOFLINE),
    ]  # fmt: skip


def _interval(name: str, value: float, unit: str, labels: dict[str, Scalar], *, n: int) -> Metric:
    return Metric(name, value, unit, labels, value * 0.95, value * 1.06, n, "bootstrap")


def _series() -> list[Series]:
    """Two stretches, as a bench keeps one a stage."""
    kept = []
    for stage in range(2):
        times = tuple(60 * stage + step / 10 for step in range(600))
        cpu = tuple(150 + 45 * min(1.0, time / 40) + (step * 37 % 101) / 25 for step, time in enumerate(times))
        rss = tuple(742e6 + 470e6 * min(1.0, time / 60) for time in times)
        labels: dict[str, Scalar] = {"stage": f"stage {stage}"}
        kept += [
            Series("cpu_percent", "%", times, cpu, {**labels, "of": "engine"}),
            Series("cpu_percent", "%", times, tuple(100.0 for _ in times), {**labels, "of": "system"}),
            Series("rss_bytes", "B", times, rss, labels),
        ]
    return kept
