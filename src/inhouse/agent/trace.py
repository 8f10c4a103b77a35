"""A conversation's trace: as a tree of text, as a page, and as OpenTelemetry spans with the GenAI names.

Pure functions over records; knows no store.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from inhouse.agent.budget import total_usage
from inhouse.agent.records import CallRecord, CallStatus, Conversation, Step, StepKind
from inhouse.core.units import format_seconds

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_CSS = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
details{border-left:3px solid #8886;margin:.4rem 0;padding:.1rem .8rem}summary{cursor:pointer}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8881;padding:.6rem;border-radius:.3rem}
.input{border-color:#36c}.model{border-color:#293}.summary{border-color:#a70}.stop,.bad{border-color:#c33}
small{opacity:.7}.tainted{outline:2px dashed #c33}
"""


def tree_lines(steps: Sequence[Step], *, figures: bool = True) -> list[str]:
    """The steps as a tree: what was said, called and returned; with `figures` also times, tokens and cost."""
    lines = []
    for step in steps:
        head = {StepKind.INPUT: "user", StepKind.MODEL: "model", StepKind.SUMMARY: "summary", StepKind.STOP: "stop"}
        marks = _marks(step)
        numbers = f"  [{_figures(step)}]" if figures and step.kind is not StepKind.INPUT else ""
        lines.append(f"{step.number:>3} {head[step.kind]}{marks}: {_line(step.text, 300)}{numbers}")
        for call in step.calls:
            last = call is step.calls[-1]
            took = f"  [{format_seconds(call.duration_s)}]" if figures and call.attempts else ""
            lines.append(f"    {'└' if last else '├'} {call.name}({_arguments(call)}){_call_marks(call)}{took}")
            lines.append(f"    {' ' if last else '│'}   {_line(call.content, 300)}")
    return lines


def ways(steps: Sequence[Step]) -> dict[str, dict[str, int]]:
    """How often calls came in each form, what had to be mended in them, and what was wrong with answers."""
    calls = [call for step in steps for call in step.calls]
    return {
        "form": dict(Counter(call.form for call in calls)),
        "mended": dict(Counter(one for call in calls for one in call.repaired)),
        "problem": dict(Counter(str(p) for step in steps if (p := step.data.get("problem")))),
        "status": dict(Counter(call.status.value for call in calls)),
    }


def trace_data(conversation: Conversation, steps: Sequence[Step]) -> dict[str, Any]:
    """The whole trace for programs."""
    return {
        "conversation": conversation,
        "usage": total_usage(steps),
        "ways": ways(steps),
        "steps": steps,
    }


def trace_page(conversation: Conversation, steps: Sequence[Step]) -> str:
    """The trace as one page that loads nothing else."""
    usage = total_usage(steps)
    parts = [_page_step(step) for step in steps]
    title = escape(conversation.title or conversation.id)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_CSS}</style><h1>{title}</h1>"
        f"<p><small>{escape(conversation.id)} · {escape(str(conversation.config.get('model')))} · "
        f"{conversation.status.value} · {usage.prompt_tokens} + {usage.completion_tokens} tokens</small></p>"
        f"{''.join(parts)}</html>\n"
    )


def export_spans(conversation: Conversation, steps: Sequence[Step], tracer: Tracer) -> None:
    """The trace as spans: the conversation, its requests (chat), its calls (execute_tool)."""
    from opentelemetry import trace

    if not steps:
        return
    base = {"gen_ai.conversation.id": conversation.id, "gen_ai.agent.name": "inhouse"}
    root = tracer.start_span("invoke_agent inhouse", start_time=_ns(steps[0], 0.0), attributes=base)
    within = trace.set_span_in_context(root)
    end = _ns(steps[0], 0.0)
    for step in steps:
        if step.kind in (StepKind.MODEL, StepKind.SUMMARY):
            model = str(conversation.config.get("model"))
            attributes: dict[str, str | int] = {
                **base,
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": step.usage.prompt_tokens,
                "gen_ai.usage.output_tokens": step.usage.completion_tokens,
            }
            span = tracer.start_span(f"chat {model}", within, start_time=_ns(step, 0.0), attributes=attributes)
            if step.error:
                span.set_status(trace.StatusCode.ERROR, step.error)
            end = max(end, _ns(step, step.duration_s))
            span.end(_ns(step, step.duration_s))
        for call in step.calls:
            if call.at is None:
                continue
            attributes = {
                **base,
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call.name,
                "gen_ai.tool.call.id": call.handle,
            }
            span = tracer.start_span(
                f"execute_tool {call.name}", within, start_time=_ns(call, 0.0), attributes=attributes
            )
            if call.status is not CallStatus.DONE:
                span.set_status(trace.StatusCode.ERROR, call.status.value)
            end = max(end, _ns(call, call.duration_s))
            span.end(_ns(call, call.duration_s))
    root.end(end)


def _ns(of: Step | CallRecord, after_s: float) -> int:
    assert of.at is not None
    return int((of.at + timedelta(seconds=after_s)).timestamp() * 1e9)


def _page_step(step: Step) -> str:
    calls = "".join(
        f"<details open class='{'bad' if call.status is not CallStatus.DONE else 'model'}'>"
        f"<summary><code>{escape(call.name)}({escape(_arguments(call))})</code>{escape(_call_marks(call))} "
        f"<small>{format_seconds(call.duration_s)}</small></summary>"
        f"<pre class='{'tainted' if call.tainted else ''}'>{escape(call.content)}</pre></details>"
        for call in step.calls
    )
    sent = ""
    if "request" in step.data:
        told = json.dumps(
            {"request": step.data["request"], "events": step.data["events"]}, ensure_ascii=False, indent=1
        )
        sent = f"<details><summary><small>request and events</small></summary><pre>{escape(told)}</pre></details>"
    text = f"<pre>{escape(step.text)}</pre>" if step.text else ""
    error = f"<pre class=bad>{escape(step.error)}</pre>" if step.error else ""
    return (
        f"<details open class='{step.kind.value}'><summary>{step.number} {step.kind.value}{escape(_marks(step))} "
        f"<small>{escape(_figures(step))}</small></summary>{text}{error}{calls}{sent}</details>"
    )


def _marks(step: Step) -> str:
    marks = [str(step.data["problem"])] if step.data.get("problem") else []
    marks += [f"error: {step.error}"] if step.error else []
    return f" ({'; '.join(marks)})" if marks else ""


def _call_marks(call: CallRecord) -> str:
    marks = [] if call.status is CallStatus.DONE else [call.status.value]
    marks += [call.reason] if call.reason else []
    marks += [f"written as {call.form}"] if call.form != "native" else []
    marks += [f"mended: {', '.join(call.repaired)}"] if call.repaired else []
    marks += [f"{call.attempts} attempts"] if call.attempts > 1 else []
    marks += ["untrusted"] if call.tainted else []
    return f" ({'; '.join(marks)})" if marks else ""


def _figures(step: Step) -> str:
    usage = step.usage
    parts = [format_seconds(step.duration_s), f"{usage.prompt_tokens}+{usage.completion_tokens} tokens"]
    parts += [f"{usage.micro_krw / 1e6:.2f} won"] if usage.micro_krw else []
    return ", ".join(parts)


def _arguments(call: CallRecord) -> str:
    return _line(json.dumps(dict(call.arguments), ensure_ascii=False), 200)


def _line(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
