"""What lm-evaluation-harness says of a model: run by eval_agreement.py and eval_throughput.py, in its environment.

    python eval_peer.py SPEC.json OUT.json

SPEC: `tasks` (a folder of task files), `names`, `model` (lm-eval's name), `args` (its model_args), `options` (of
simple_evaluate). OUT: the seconds that it took without loading, and by task each document's choices' log-probabilities
and its metrics.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def main() -> None:
    from lm_eval import simple_evaluate
    from lm_eval.api.registry import get_model
    from lm_eval.tasks import TaskManager

    spec = json.loads(Path(sys.argv[1]).read_text())
    model = get_model(spec["model"]).create_from_arg_obj(spec["args"], spec.get("model_options", {}))
    manager = TaskManager(include_path=spec["tasks"], include_defaults=False)
    begin = time.perf_counter()
    found = simple_evaluate(
        model=model, tasks=spec["names"], task_manager=manager, log_samples=True, bootstrap_iters=0, **spec["options"]
    )
    seconds = time.perf_counter() - begin
    out: dict[str, object] = {"seconds": seconds}
    for name, samples in found["samples"].items():
        samples.sort(key=lambda one: one["doc_id"])
        out[name] = [
            {
                "resps": [one[0] if isinstance(one, list | tuple) else one for one in sample["filtered_resps"]],
                "metrics": {metric: sample[metric] for metric in sample["metrics"]},
            }
            for sample in samples
        ]
    Path(sys.argv[2]).write_text(json.dumps(out))


if __name__ == "__main__":
    main()
