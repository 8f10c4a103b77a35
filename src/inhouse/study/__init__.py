"""The study: composes the other parts phase by phase, keeps every run, derives the findings."""
