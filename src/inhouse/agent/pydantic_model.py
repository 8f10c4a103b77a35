"""Our engines as a model of pydantic-ai, so that its agents run on them, tool calls read as our own agent reads them.

Our own loop does without it (loop.py says why; importing it takes half a second). Needs inhouse[pydantic-ai].
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, nullcontext

from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from inhouse.core.errors import EngineError
from inhouse.engines.base import (
    ChatRequest,
    Engine,
    Event,
    Message,
    TextEvent,
    ToolCall,
    ToolCallEvent,
    ToolSpec,
    UsageEvent,
)
from inhouse.engines.call_forms import read_arguments, read_calls


class EngineModel(Model[None]):
    """A model that an engine serves. `lenient`: calls written almost right count as calls."""

    def __init__(self, engine: Engine, model: str, *, lenient: bool = True) -> None:
        super().__init__()
        self._engine = engine
        self._model = model
        self._lenient = lenient

    @property
    def model_name(self) -> str:
        """The engine's name for it."""
        return self._model

    @property
    def system(self) -> str:
        """The engine's name."""
        return self._engine.name

    @property
    def client(self) -> None:
        """None: an engine is no client of another library."""
        return

    @client.setter
    def client(self, value: None) -> None:
        """Nothing to set."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """See `pydantic_ai.models.Model.request`. ModelAPIError where the engine fails."""
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        settings = settings or {}
        tools = tuple(
            ToolSpec(tool.name, tool.description or "", tool.parameters_json_schema)
            for tool in (*parameters.function_tools, *parameters.output_tools)
        )
        seed, top_p = settings.get("seed"), settings.get("top_p")
        request = ChatRequest(
            self._model,
            tuple(self._messages(messages, parameters)),
            max_tokens=settings.get("max_tokens"),
            temperature=settings.get("temperature"),
            top_p=top_p,
            seed=seed,
            stop=tuple(settings.get("stop_sequences") or ()),
            tools=tools,
            tool_choice=None if parameters.allow_text_output or not tools else "required",
        )
        try:
            events = await self._ask(request)
        except EngineError as error:
            raise ModelAPIError(self._model, str(error)) from error
        return ModelResponse(parts=self._parts(events, tools), usage=_usage(events), model_name=self._model)

    async def _ask(self, request: ChatRequest) -> list[Event]:
        answer = self._engine.chat(request)
        async with aclosing(answer) if isinstance(answer, AsyncGenerator) else nullcontext():
            return [event async for event in answer]

    def _parts(self, events: Sequence[Event], tools: tuple[ToolSpec, ...]) -> list[ModelResponsePart]:
        text = "".join(event.text for event in events if isinstance(event, TextEvent))
        calls = [(e.call.name, e.call.arguments) for e in events if isinstance(e, ToolCallEvent)]
        if not calls and tools:
            read, text = read_calls(text, tools, lenient=self._lenient)
            calls = [(call.name, call.arguments) for call in read]
        parts: list[ModelResponsePart] = [TextPart(text)] if text.strip() else []
        for name, written in calls:
            arguments, _ = read_arguments(written) if self._lenient else (None, ())
            parts.append(ToolCallPart(name, written if arguments is None else arguments))
        return parts

    def _messages(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> Iterator[Message]:
        """As an engine takes them; only text goes, since engines take nothing else."""
        system = [part.content for part in self._get_instruction_parts(messages, parameters) or ()]
        told = [one for message in messages for one in _told(message)]
        system += [one.content for one in told if one.role == "system"]
        if system:
            yield Message("system", "\n\n".join(dict.fromkeys(system)))
        yield from (one for one in told if one.role != "system")


def _told(message: ModelMessage) -> Iterator[Message]:
    if isinstance(message, ModelRequest):
        for part in message.parts:
            if isinstance(part, SystemPromptPart):
                yield Message("system", part.content)
            elif isinstance(part, UserPromptPart):
                content = part.content if isinstance(part.content, str) else "\n".join(map(str, part.content))
                yield Message("user", content)
            elif isinstance(part, ToolReturnPart):
                yield Message("tool", part.model_response_str(), tool_call_id=part.tool_call_id, name=part.tool_name)
            elif isinstance(part, RetryPromptPart):
                if part.tool_name is None:
                    yield Message("user", part.model_response())
                else:
                    yield Message("tool", part.model_response(), tool_call_id=part.tool_call_id, name=part.tool_name)
        return
    text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
    calls = tuple(
        ToolCall(part.tool_call_id, part.tool_name, json.dumps(part.args_as_dict(), ensure_ascii=False))
        for part in message.parts
        if isinstance(part, ToolCallPart)
    )
    yield Message("assistant", text, tool_calls=calls)


def _usage(events: Sequence[Event]) -> RequestUsage:
    for event in events:
        if isinstance(event, UsageEvent):
            return RequestUsage(
                input_tokens=event.prompt_tokens or 0,
                output_tokens=event.completion_tokens or 0,
                cache_read_tokens=event.cached_tokens or 0,
            )
    return RequestUsage()
