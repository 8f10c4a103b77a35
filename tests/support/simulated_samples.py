"""A plain simulation, step by step and machine by machine, of the engine that the plan's simulation leaps over.

Slow and obvious, so that the fast one can be held against it; it also leaves samples as a bench would.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inhouse.core.records import Sample
from inhouse.plan.service import ServiceModel
from inhouse.plan.simulate import Workload


@dataclass
class Answer:
    """One request on its way."""

    index: int
    arrival_s: float
    prompt: int
    output: int
    left: int = 0
    times: list[float] = field(default_factory=list)


def step_by_step(model: ServiceModel, work: Workload) -> list[Answer]:
    """Plays a workload on one machine, a step at a time; closed loops too."""
    answers = [
        Answer(index, float(at), int(prompt), int(output), left=int(prompt))
        for index, (at, prompt, output) in enumerate(
            zip(work.arrivals_s, work.prompt_tokens, work.output_tokens, strict=True)
        )
    ]
    ready = len(answers) if work.users is None else work.users
    coming, later = answers[:ready], answers[ready:]
    waiting: list[Answer] = []
    serving: list[Answer] = []
    now = 0.0
    while coming or waiting or serving:
        idle = not serving and not waiting and min(one.arrival_s for one in coming) + model.request_s > now
        if idle:
            now = min(one.arrival_s for one in coming) + model.request_s
        arrived = sorted(
            (one for one in coming if one.arrival_s + model.request_s <= now + 1e-12),
            key=lambda one: (one.arrival_s, one.index),
        )
        if idle:
            arrived = arrived[:1]  # a step begins with the first; what comes at the same moment waits for the next
        coming = [one for one in coming if one not in arrived]
        waiting += arrived
        while waiting and len(serving) < model.slots:
            serving.append(waiting.pop(0))
        decoding = [one for one in serving if one.times]
        pending = [one for one in serving if not one.times]
        held = sum(one.prompt + len(one.times) for one in decoding)
        seconds = model.step_s(len(decoding), held) if decoding else 0.0
        if pending:
            seconds += model.prompt_fixed_s
        room = model.prompt_batch - len(decoding)
        for one in pending:
            part = min(room, one.left)
            before = one.prompt - one.left
            after = before + part
            one.left -= part
            room -= part
            seconds += model.prompt_s * part + model.prompt_square_s * (after**2 - before**2)
        now += seconds
        for one in decoding:
            one.times.append(now)
        for one in pending:
            if not one.left:
                one.times.append(now)
        for one in [one for one in serving if len(one.times) == one.output]:
            serving.remove(one)
            if later:
                following = later.pop(0)
                following.arrival_s = now + work.think_s
                coming.append(following)
    return answers


def samples_of(answers: list[Answer], stage: str, streams: int | None = None) -> list[Sample]:
    """The samples that a bench would have kept of them."""
    tags: dict[str, str | int] = {"stage": stage} | ({} if streams is None else {"streams": streams})
    return [
        Sample(
            index=one.index, intended_start_s=one.arrival_s, start_s=one.arrival_s, end_s=one.times[-1],
            first_token_s=one.times[0], token_times_s=tuple(one.times), prompt_tokens=one.prompt,
            completion_tokens=one.output, finish_reason="length", tags=tags,
        )
        for one in answers
    ]  # fmt: skip
