"""The agent: a loop of a model and tools whose every step is kept, resumed, budgeted, traced and replayed."""
