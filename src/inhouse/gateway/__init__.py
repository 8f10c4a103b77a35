"""The gateway: an OpenAI- and Ollama-compatible API before any engine, with keys, limits, guard and ledger."""
