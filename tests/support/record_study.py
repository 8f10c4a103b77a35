"""Makes tests/fixtures/studies/whole.json.gz from a study that was really made: `python tests/support/record_study.py`.

Takes the newest study of the store (INHOUSE_DATA_DIR): its runs, figures, findings and answers, without the samples and
the courses of CPU and memory, which no finding stands on. Folders of the machine that it was made on are left out.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import orjson

from inhouse.core.settings import get_settings
from inhouse.report.document import newest_study
from inhouse.store.export import runs_to_json
from inhouse.store.repository import Store

KEPT = Path(__file__).parent.parent / "fixtures" / "studies" / "whole.json.gz"
_FOLDER = re.compile(rb'(?<=")/[\w.\-/+]*/(?=[\w.\-+]+")')


def record() -> None:
    """Writes the file."""
    with Store(get_settings().database_url) as store:
        document = orjson.loads(runs_to_json(store, newest_study(store).id))
    for kept in document["runs"]:
        kept["samples"], kept["series"] = [], []
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_bytes(gzip.compress(_FOLDER.sub(b"", orjson.dumps(document)), 9, mtime=0))


if __name__ == "__main__":
    record()
