"""Evaluations and suites in other programs' files: lm-evaluation-harness, Inspect, JSONL, CSV."""
