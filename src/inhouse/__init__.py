"""inhouse: run an LLM in-house, measure it, judge it, serve it, and report with evidence what it takes."""

__version__ = "0.1.0.dev0"
