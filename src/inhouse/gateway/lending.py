"""Runs the embedded models for all worker processes of a gateway, and tells how each stands.

Knows models' processes; nothing of the workers but that they are to be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from inhouse.core.errors import EngineError
from inhouse.engines.launch import LaunchSpec
from inhouse.engines.supervisor import Worker
from inhouse.gateway.lent_engine import Standing


class Lending:
    """The models of `specs`, by name. `tell` gets a model's name and standing whenever that changes."""

    def __init__(
        self, specs: Mapping[str, LaunchSpec], tell: Callable[[str, Standing], None], *, stall_s: float
    ) -> None:
        self._specs = specs
        self._tell = tell
        self._stall_s = stall_s
        self._workers: dict[str, Worker] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def load(self, name: str) -> None:
        """Starts the model, unless it serves or is about to; anew where it was given up."""
        held = self._workers.get(name)
        if held is not None:
            if held.failure is None:
                self._changed(name)
                return
            stop = asyncio.create_task(held.stop())
            self._stopping.add(stop)
            stop.add_done_callback(self._stopping.discard)
        spec = self._specs[name]
        self._workers[name] = Worker(spec, stall_s=self._stall_s, changed=lambda: self._changed(name))

    def standings(self) -> dict[str, Standing]:
        """How each model stands now."""
        return {name: self.standing(name) for name in self._specs}

    def standing(self, name: str) -> Standing:
        """How the model stands now."""
        spec = self._specs[name]
        worker = self._workers.get(name)
        if worker is None:
            return Standing(spec.model, spec.slots, spec.context, spec.embeddings)
        failure = worker.failure
        return Standing(
            spec.model,
            spec.slots,
            spec.context,
            spec.embeddings,
            address=worker.served_at,
            api_key=worker.api_key,
            pid=worker.pid,
            restarts=worker.restarts,
            failure=failure if isinstance(failure, EngineError) else None,
        )

    async def close(self) -> None:
        """Ends all of them."""
        workers = list(self._workers.values())
        self._workers.clear()
        await asyncio.gather(*(worker.stop() for worker in workers), *self._stopping)

    def _changed(self, name: str) -> None:
        if name in self._workers:
            self._tell(name, self.standing(name))
