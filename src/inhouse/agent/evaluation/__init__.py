"""Evaluations of the agent: others' tasks, their official scoring, and what an answer costs."""
