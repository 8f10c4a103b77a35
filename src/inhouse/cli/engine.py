"""The help of the options by which every command names an engine and a model."""

from __future__ import annotations

from inhouse.models.opened import OpenEngine, open_for

__all__ = ["ENGINE_HELP", "MODEL_HELP", "OpenEngine", "open_for"]

ENGINE_HELP = "embedded, ollama, openai (any compatible server: INHOUSE_BASE_URL) or recorded:FILE."
MODEL_HELP = "Model name, or a path to a .gguf file (embedded). Default: the largest pulled model that fits."
