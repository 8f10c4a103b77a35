"""Judges a model's answers: suites of items, scorers, and statistics that never show a bare percentage."""
