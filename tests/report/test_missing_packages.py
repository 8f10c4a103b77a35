"""Without the packages that a report needs, a command says which to install, before it measures anything."""

import subprocess
import sys

HIDE = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {"altair", "jinja2"} else real(name, package)
sys.argv = ["inhouse", "report"]
from inhouse.cli.main import main
main()
"""


def test_the_missing_packages_and_the_extra_are_named():
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: Reports cannot be written: not installed: altair, jinja2\n"
        "  Install them with: pip install 'inhouse[report]'\n"
    )
