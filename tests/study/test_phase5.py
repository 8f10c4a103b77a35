"""Phase 5 on real gateways before the small model: what is measured is kept and said, and nothing is left running."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from inhouse.core.environment import read_environment
from inhouse.core.errors import EngineFailed
from inhouse.core.settings import Settings
from inhouse.report.message import render
from inhouse.store.repository import Store
from inhouse.study.base import StudyConfig, outcomes
from inhouse.study.gateway_process import gateway_process
from inhouse.study.phase5 import PHASE5
from inhouse.study.phase5_findings import phase5_findings
from inhouse.study.run import run_study

pytest.importorskip("fastapi")


@pytest.fixture
def settings(tiny_model: Path) -> Settings:
    return Settings(model="smollm2:135m", slots=1, context=512, threads=1)


def gateways() -> set[int]:
    """Processes below this one that a gateway or an engine is made of."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if any(name in " ".join(process.cmdline()) for name in ("study.gateway_process", "engines.worker")):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(240)
async def test_phase_5_is_measured_on_gateways_of_its_own_and_said_with_evidence(settings, tmp_path):
    before = gateways()  # an engine that other tests share may run in this process
    said = []
    with Store(f"sqlite:///{tmp_path / 'study.db'}") as store:
        study = await run_study(
            settings, store, StudyConfig("smollm2:135m", 1.0, "en", phases=(5,)), read_environment(),
            on_progress=lambda progress: None, on_outcome=lambda part, outcome: said.append(outcome),
        )  # fmt: skip
        done = outcomes(store, study.id)
        assert {name: done[name].reason for name in done if done[name].status == "failed"} == {}
        assert {part.name for part in PHASE5} <= done.keys()
        said_of_phase = [finding for finding in store.findings(study.id) if finding.phase == 5]
        findings = {finding.message.removeprefix("phase5."): finding for finding in said_of_phase}
        metrics = {run.id: store.metrics(run.id) for run in store.list_runs(study_id=study.id)}
        assert said_of_phase == phase5_findings(store, study.id), "findings can be derived again"
    assert {"overload", "refusals", "failover", "cache", "guard", "guard_cost", "ledger", "use"} <= findings.keys()
    assert findings["ledger"].figures["seen"] > 0
    assert findings["cache"].figures["speedup_ratio"] > 1
    assert findings["overload"].figures["refused_percent"] > 0
    for finding in findings.values():
        assert finding.evidence
        assert all(evidence.metric in metrics[evidence.run_id] for evidence in finding.evidence)
        for lang in ("en", "ko"):
            text = render(finding, lang)
            assert not any(mark in text.title + text.text + text.do for mark in "{}[]")
    assert gateways() <= before


async def test_a_gateway_that_cannot_start_says_why(settings):
    before = gateways()
    broken = settings.model_copy(update={"model": "no-such-model"})
    with pytest.raises(EngineFailed, match="no-such-model"):
        async with gateway_process(broken, {}):
            pass
    assert gateways() <= before


async def test_the_users_own_gateway_settings_stay_out_of_it(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("INHOUSE_GATEWAY_PORT", "1")
    monkeypatch.setenv("INHOUSE_STORE_URL", f"sqlite:///{tmp_path / 'mine.db'}")
    async with gateway_process(settings, {}) as gateway:
        engine = gateway.engine(stall_s=60)
        assert [info.name for info in await engine.models()] == ["smollm2:135m"]
        await engine.close()
    assert not (tmp_path / "mine.db").exists()
    assert not gateway.folder.exists()


STARTS_AND_WAITS = """
import asyncio
from inhouse.core.settings import Settings
from inhouse.study.gateway_process import gateway_process

async def main():
    async with gateway_process(Settings(model="smollm2:135m", slots=1, context=512, threads=1), {}) as gateway:
        print(gateway.process.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_it_ends_with_who_started_it_however_that_ends(tiny_model, tmp_path, how):
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTS_AND_WAITS),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what a kill leaves behind is pytest's to remove
    )
    pid = int(await asyncio.wait_for(starter.stdout.readline(), 60))
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    assert len(processes) > 1, "the gateway has an engine"
    starter.send_signal(how)
    await starter.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=20)
    assert alive == []
