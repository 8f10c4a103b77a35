"""Machines that are not here, predicted by their specification alone, against published measurements of them.

    python benchmarks/gpu_prediction.py

Closed loops of so many users with prompts and answers of the published lengths, simulated on the predicted service
model. The bar is 20 % for each point. Takes seconds and no GPU.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from inhouse.plan.hardware import find_layout, find_machine, predicted_service
from inhouse.plan.simulate import Workload, simulate

BAR = 0.2


@dataclass(frozen=True, slots=True)
class Published:
    """A published rate of generated tokens a second, all users together."""

    machine: str
    model: str
    users: int
    prompt: int
    output: int
    tokens_s: float
    source: str


SWEEP_4090 = "Mistral 7B, mushfiqrahman.dev, 2026: request rates and the tokens of 300 prompts"
POINTS = [
    Published("a100-40gb", "llama3.1:8b", 1, 16, 128, 75, "vLLM 0.23, johnmusgrave.com, 2026: decode of one request"),
    Published("h100", "llama3.1:8b", 1, 16, 128, 1 / 0.00648, "vLLM 0.21, yobitelcomm.github.io, 2026: TPOT of one"),
    Published("h100", "llama3.1:8b", 4, 16, 128, 4 / 0.00659, "the same, of four"),
    Published("rtx-4090", "mistral:7b", 4, 256, 100, 210, SWEEP_4090),
    Published("rtx-4090", "mistral:7b", 8, 256, 100, 377, SWEEP_4090),
    Published("rtx-4090", "mistral:7b", 16, 256, 100, 644, SWEEP_4090),
    Published("rtx-4090", "mistral:7b", 32, 256, 100, 975, SWEEP_4090),
    Published("rtx-4090", "mistral:7b", 48, 256, 100, 1190, SWEEP_4090),
]


def predicted(point: Published) -> float:
    """Tokens a second of all users together."""
    model = predicted_service(find_machine(point.machine), find_layout(point.model))
    count = 12 * point.users
    work = Workload(
        np.arange(count, dtype=np.float64) * 1e-4,
        np.full(count, point.prompt),
        np.full(count, point.output),
        users=point.users,
    )
    result = simulate(model, work)
    return float(result.output_tokens.sum()) / result.end_s


def main() -> int:
    worst = 0.0
    for point in POINTS:
        said = predicted(point)
        off = said / point.tokens_s - 1
        worst = max(worst, abs(off))
        print(
            f"{point.machine:10} {point.model:12} {point.users:3} users, {point.prompt:4}/{point.output} tokens: "
            f"published {point.tokens_s:6.0f} tokens/s, predicted {said:6.0f} ({off:+.0%}); {point.source}"
        )
    print(f"gpu_prediction: worst point off by {worst:.0%} (bar: {BAR:.0%})")
    return 0 if worst <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
