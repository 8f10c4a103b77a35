"""The process that holds one model: `python -m inhouse.engines.worker`, started by the supervisor only.

Reads its launch as one line of JSON on stdin, serves on loopback, and says on stdout how far it is. It lives
no longer than its parent. Knows llama.cpp's server; nothing of requests, restarts or our other parts.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any

# llama.cpp's server gives a waiting connection to an idle thread even if a whole burst of connections was given to
# the same one; the last then wait until an answer ends. With more threads than connections none ever waits.
HTTP_THREADS = 256
# Prints warnings and errors; one level more would add lines for each request.
VERBOSITY = 2
# How often a thread that waits for the others looks again before it sleeps (libgomp's default: 300,000). With all of
# those, one other busy process on the machine makes the threads wait for each other with nobody decoding.
SPIN_COUNT = 1000


def main() -> None:
    """Serves until the parent goes away."""
    report = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints belongs in the log
    launch = json.loads(sys.stdin.buffer.readline())
    _die_with(launch["parent"])
    _say(report, alive=True)
    try:
        server = _serve(launch)
    except Exception as error:  # noqa: BLE001 - every failure is the parent's to explain
        _say(report, failed=" ".join(str(error).split()) or type(error).__name__)
        sys.exit(1)
    _say(report, address=server.listening_address)
    os.close(report)
    threading.Event().wait()


def _serve(launch: dict[str, Any]) -> Any:
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)  # read when the library is loaded
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = launch["path"]
    params.model_alias = {launch["model"]}
    params.n_parallel = launch["slots"]
    params.n_ctx = launch["context"] * launch["slots"]
    params.kv_unified = False  # each slot has its context for itself, whatever the others do
    params.ctx_shift = False  # a full context ends the answer instead of forgetting its beginning
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = launch["threads"]
    params.n_gpu_layers = launch["gpu_layers"]
    params.cache_ram_mib = 0  # by default up to 8 GiB of old prompts would be kept in memory
    params.cache_idle_slots = False
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [launch["api_key"]]
    params.n_threads_http = HTTP_THREADS
    params.sse_ping_interval = launch["ping_s"]
    params.endpoint_slots = True
    params.ui = False
    params.verbosity = VERBOSITY
    if launch["embeddings"]:
        params.embedding = True
        if not _names_pooling(launch["path"]):
            from xllamacpp import llama_pooling_type

            params.pooling_type = llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return Server(params)


def _names_pooling(path: str) -> bool:
    """Whether the model's header says how to make one vector of many: embedding models do, chat models do not."""
    with open(path, "rb") as file:  # noqa: PTH123 - no pathlib: each import adds to a cold start
        return b".pooling_type" in file.read(1 << 20)


def _die_with(parent: int) -> None:
    """Ends this process when the parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; it holds while the model loads, too
    if os.getppid() != parent:
        os._exit(1)  # the parent died before we could ask to be told
    threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    # The parent holds the other end and never writes again: the read returns when the parent is gone.
    os.read(0, 1)
    os._exit(0)


def _say(report: int, **message: object) -> None:
    os.write(report, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
