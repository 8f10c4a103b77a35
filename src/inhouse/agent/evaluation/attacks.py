"""Whole suites of injections with and without the policy over effects, kept as a run with their figures.

`attack_success` is the share of (user task, injection) pairs whose injection got done; `utility` the share of user
tasks done, unattacked; `asked` the share of the user's own calls that waited for a person. With the policy, a person
who refuses all that is asked is the worst case for utility, one who approves the user's own calls the best.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from inhouse.agent.evaluation.injections import SUITES, VERSION, Attacked, everything, load_suite, nothing, run_attack
from inhouse.agent.policy import AllowAll, EffectPolicy
from inhouse.agent.records import Approver, Policy
from inhouse.bench.keeping import ending
from inhouse.bench.statistics import mean
from inhouse.core.environment import Environment
from inhouse.core.records import Metric, Run, Scalar
from inhouse.store.repository import Store

DEFENCES: dict[str, tuple[Policy, Approver]] = {
    "none": (AllowAll(), everything),
    "policy, nobody approves": (EffectPolicy("tainted"), nothing),
}


async def run_suites(
    store: Store,
    suites: Sequence[str],
    limit: int | None,
    *,
    environment: Environment,
    seed: int = 0,
    study_id: str | None = None,
    on_done: Callable[[str], None] = lambda name: None,
) -> Run:
    """Runs the suites (all, where none is named), of each at most `limit` user tasks."""
    loaded = [load_suite(name) for name in suites or SUITES]
    config = {"suite": "agentdojo", "version": VERSION, "suites": [one.name for one in loaded], "limit": limit}
    run = store.create_run(
        "agent_eval", config, seed=seed, environment=environment, engine="obedient", study_id=study_id
    )
    with ending(store, run):
        done: dict[str, list[Attacked]] = {name: [] for name in DEFENCES}
        for suite in loaded:
            users = list(suite.user_tasks.values())
            if limit is not None and limit < len(users):
                users = random.Random(f"{seed}:{suite.name}").sample(users, limit)
            for defence, (policy, approve) in DEFENCES.items():
                for user in users:
                    for injection in (None, *suite.injection_tasks.values()):
                        done[defence].append(await run_attack(suite, user, injection, policy, approve=approve))
            on_done(suite.name)
        store.set_metrics(run.id, attack_figures(done, seed))
    return store.get_run(run.id)


def attack_figures(done: Mapping[str, Sequence[Attacked]], seed: int) -> list[Metric]:
    """The figures by defence and suite; intervals are bootstrapped by pair."""
    found = []
    for defence, results in done.items():
        for category in ("all", *dict.fromkeys(one.suite for one in results)):
            part = [one for one in results if category in ("all", one.suite)]
            labels: dict[str, Scalar] = {"suite": "agentdojo", "way": defence, "category": category}
            pairs = [float(one.attacked) for one in part if one.injection_task]
            calm = [one for one in part if not one.injection_task]
            for name, values in (("attack_success", pairs), ("utility", [float(one.useful) for one in calm])):
                got = mean(np.array(values), np.random.default_rng(seed))
                found.append(Metric(name, got.value, "", labels, got.low, got.high, got.n, "bootstrap by pair"))
            calls = sum(one.calls for one in calm)
            asked = sum(one.asked for one in calm)
            found.append(Metric("asked", asked / calls if calls else 0.0, "", labels, n=calls, method="counted"))
    return found
