"""What the tests ask of Ollama, so that record_ollama.py can record a real server's answers to just that."""

from __future__ import annotations

from contract_requests import WEATHER, ask

from inhouse.engines.base import ChatRequest, Message

MODEL = "smollm2:135m"  # made with num_ctx 512
TOOL_MODEL = "qwen2.5-coder:tools"  # with a template from which Ollama itself reads tool calls
TEXT_TOOL_MODEL = "qwen2.5-coder:0.5b"  # writes its calls as text
EMBEDDER = "smollm2:embed"
MISSING = "no-such-model"

PULLED = "http://127.0.0.1:5055/library/smollm2:135m"
DAMAGED = "http://127.0.0.1:5055/library/bad-smollm2:135m"
NOT_IN_REGISTRY = "http://127.0.0.1:5055/library/no-such-model:7b"
NO_REGISTRY = "http://127.0.0.1:1/library/smollm2:135m"


def every_option() -> ChatRequest:
    """With everything set that Ollama takes."""
    return ask(
        MODEL,
        max_tokens=12,
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        repeat_penalty=1.1,
        seed=11,
        stop=("\n\n",),
        context=256,
    )


def to_the_window_s_end() -> ChatRequest:
    """An answer that would go on past the context window."""
    return ask(MODEL, "Tell me a long story about a lighthouse.", max_tokens=None, context=64)


def history_too_long() -> ChatRequest:
    """Many turns, of which Ollama would drop the first ones in silence if it were let."""
    turns = (Message("user", "All work and no play. " * 40), Message("assistant", "Indeed.")) * 4
    return ChatRequest(MODEL, (*turns, Message("user", "What did I say first?")), temperature=0.0, max_tokens=8)


def weather(model: str) -> ChatRequest:
    return ask(model, "What is the weather in Seoul? Use the tool.", tools=(WEATHER,), max_tokens=80)


def broken_off() -> ChatRequest:
    """A long answer; the recording ends where the model's process was killed."""
    return ask(MODEL, "Tell me a long story about a mountain.", max_tokens=300)


def server_killed() -> ChatRequest:
    """A long answer; the recording ends where the server was killed."""
    return ask(MODEL, "Tell me a long story about a river.", max_tokens=300)


def one_token_for_ever() -> ChatRequest:
    """Makes the model repeat itself, which Ollama ends without a last line."""
    return ask(MODEL, "no " * 60, max_tokens=200, repeat_penalty=1.0)
