"""What serves a model, behind one Protocol (`base.Engine`): embedded, ollama, openai_compatible, recorded.

`open.open_engine` opens one by name. An engine knows nothing of how models are pulled, measured or judged.
"""
