"""Turns a kept study into a report: one HTML page and notes in Markdown, in Korean or English; measures nothing."""

from importlib.util import find_spec

from inhouse.core.errors import MissingExtra

# Said here, once and before anything is measured, not by whichever module imports its package first.
_missing = [name for name in ("altair", "babel", "jinja2", "vl_convert") if find_spec(name) is None]
if _missing:
    raise MissingExtra(
        "Reports cannot be written",
        why=f"not installed: {', '.join(_missing)}",
        do="Install them with: pip install 'inhouse[report]'",
    )
