"""Tools across the border to LangChain: LangChain's in our agent, ours in LangChain's. Needs inhouse[langchain].

Our engines serve LangChain's models through the gateway's OpenAI and Ollama interfaces; EngineChatModel is for tests
and comparisons without one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool

from inhouse.agent.tools.base import Effect, Tool, ToolContext, ToolResult
from inhouse.agent.tools.function import as_json
from inhouse.core.errors import ToolError
from inhouse.engines.base import ChatRequest, Message, TextEvent, ToolCall, ToolCallEvent, ToolSpec, UsageEvent


def from_langchain(tool: BaseTool, *, effect: Effect = "effect", trusted: bool = False) -> Tool:
    """LangChain's tool as one of ours. It does not say whether it has an effect: you do."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        try:
            result = await tool.ainvoke(dict(arguments))
        except ToolException as error:
            raise ToolError(str(error)) from None
        return ToolResult(result if isinstance(result, str) else as_json(result), source=tool.name)

    schema = convert_to_openai_tool(tool)["function"].get("parameters", {"type": "object", "properties": {}})
    return Tool(tool.name, tool.description, schema, run, effect, trusted, keyed=False, retries=0)


def to_langchain(tool: Tool, context: Callable[[], ToolContext]) -> BaseTool:
    """Our tool as LangChain's. `context` makes the context of each call; approval is then LangChain's matter."""

    async def run(**arguments: Any) -> str:
        try:
            return (await tool.run(arguments, context())).content
        except ToolError as error:
            raise ToolException(str(error)) from None

    return StructuredTool(
        name=tool.name, description=tool.description, args_schema=dict(tool.parameters), coroutine=run,
        handle_tool_error=True,
    )  # fmt: skip


class EngineChatModel(BaseChatModel):
    """An engine's model as LangChain's chat model, asynchronous only. Calls whose arguments are no JSON object are
    its messages' `invalid_tool_calls`.
    """

    engine: Any
    model: str
    temperature: float = 0.0
    max_tokens: int | None = None
    seed: int | None = None
    tools: tuple[ToolSpec, ...] = ()

    @property
    def _llm_type(self) -> str:
        return "inhouse"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The same model with those tools on offer."""
        functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
        specs = tuple(ToolSpec(one["name"], one["description"], one.get("parameters", {})) for one in functions)
        return self.model_copy(update={"tools": specs})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("asynchronous only: use ainvoke")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = ChatRequest(
            self.model, tuple(_message(one) for one in messages), max_tokens=self.max_tokens,
            temperature=self.temperature, seed=self.seed, stop=tuple(stop or ()), tools=self.tools,
        )  # fmt: skip
        text, calls, broken, usage = "", list[Any](), list[Any](), None
        async for event in self.engine.chat(request):
            if isinstance(event, TextEvent):
                text += event.text
            elif isinstance(event, ToolCallEvent):
                name, written, handle = event.call.name, event.call.arguments, event.call.id
                arguments = _object(written)
                if arguments is None:
                    broken.append({"name": name, "args": written, "id": handle, "error": "no JSON object"})
                else:
                    calls.append({"name": name, "args": arguments, "id": handle})
            elif isinstance(event, UsageEvent):
                prompt, completion = event.prompt_tokens or 0, event.completion_tokens or 0
                usage = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
        answer = AIMessage(content=text, tool_calls=calls, invalid_tool_calls=broken, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _message(message: BaseMessage) -> Message:
    content = message.content if isinstance(message.content, str) else json.dumps(message.content)
    if isinstance(message, AIMessage):
        calls = tuple(ToolCall(one["id"] or "", one["name"], json.dumps(one["args"])) for one in message.tool_calls)
        return Message("assistant", content, calls)
    if isinstance(message, ToolMessage):
        return Message("tool", content, tool_call_id=message.tool_call_id, name=message.name)
    return Message("system" if message.type == "system" else "user", content)
