"""The guard of the gateway: checks a request before it goes to the model, and filters the answer.

Knows the policy and the detectors; knows neither HTTP nor the audit log (its caller records the findings).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inhouse.engines.base import Message, ToolCall
from inhouse.gateway.guard.injection import InjectionDetector, Source
from inhouse.gateway.guard.normalise import fold, lower
from inhouse.gateway.guard.personal_data import find_personal_data
from inhouse.gateway.guard.policy import Policy
from inhouse.gateway.guard.secrets import find_secrets
from inhouse.gateway.guard.stream import OutputFilter
from inhouse.gateway.guard.topics import find_topics
from inhouse.gateway.guard.verdict import Action, Finding, Span, Verdict, strictest

_REMEMBERED = 16_384  # texts whose findings are kept: a conversation sends its past again with every turn


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found in one text; never the text."""

    spans: tuple[Span, ...]
    injection: Span | None


class Guard:
    """Checks requests by one policy. Safe to use from several threads; holds no request's text."""

    def __init__(self, policy: Policy, detector: InjectionDetector | None = None) -> None:
        self.policy = policy
        self._detector = detector or InjectionDetector.shipped()
        self._thresholds: dict[Source, float] = {
            "user": policy.user_threshold or self._detector.user_threshold,
            "document": policy.document_threshold or self._detector.document_threshold,
        }
        self._kinds = frozenset(kind for kind, action in policy.personal_data.items() if action is not Action.ALLOW)
        # By keyed hash, so that the memory of a process tells nobody which texts there were.
        self._seen: dict[bytes, _Seen] = {}
        self._key = os.urandom(32)
        self._lock = threading.Lock()

    def check_input(self, messages: tuple[Message, ...], caller_key: str) -> Verdict:
        """Decides on a request: what was found in it, what to do, and the messages to send on.

        Every message is searched for personal data and secrets (the past is sent again with each turn);
        users' and tools' messages for injections; the newest user message for topics.
        """
        dry_run = self.policy.dry_run or caller_key in self.policy.exempt_keys
        findings = list(self._oversize(messages))
        if not findings:
            for index, message in enumerate(messages):
                findings += self._in_message(index, message)
            findings += self._topics(messages)
        would = strictest(tuple(finding.action for finding in findings))
        action = Action.LOG if dry_run and would in (Action.MASK, Action.BLOCK) else would
        if action is Action.MASK:
            masked, restore = _mask(messages, findings)
            return Verdict(action, masked, tuple(findings), restore, would)
        return Verdict(action, messages, tuple(findings), {}, would)

    def output_stream(self, verdict: Verdict, system_prompt: str | None, caller_key: str = "") -> OutputFilter:
        """The filter of this request's answer; `system_prompt` is what the reader must not see."""
        return OutputFilter(
            self.policy,
            verdict.restore,
            system_prompt,
            [message.content for message in verdict.messages if message.role == "user"] if system_prompt else (),
            dry_run=self.policy.dry_run or caller_key in self.policy.exempt_keys,
        )

    def _oversize(self, messages: Sequence[Message]) -> Iterable[Finding]:
        total = sum(len(message.content) for message in messages)
        if total > self.policy.max_characters or len(messages) > self.policy.max_messages:
            yield Finding(
                "size", 0, 0, len(messages) - 1, Action.BLOCK, rule=f"{total} characters in {len(messages)} messages"
            )

    def _in_message(self, index: int, message: Message) -> Iterable[Finding]:
        source: Source | None = {"user": "user", "tool": "document"}.get(message.role)  # type: ignore[assignment]
        seen = self._look(message.content, source)
        for span in seen.spans:
            action = self.policy.secrets if span.kind == "secret" else self.policy.personal_data[span.kind]
            yield Finding(span.kind, span.start, span.end, index, action, span.score, span.rule)
        if seen.injection is not None:
            span = seen.injection
            yield Finding("injection", span.start, span.end, index, self.policy.injection, span.score, span.rule)

    def _look(self, text: str, source: Source | None) -> _Seen:
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=16, key=self._key, person=(source or "").encode()).digest()
        seen = self._seen.get(digest)
        if seen is None:
            seen = self._inspect(text, source)
            with self._lock:
                if len(self._seen) >= _REMEMBERED:
                    del self._seen[next(iter(self._seen))]
                self._seen[digest] = seen
        return seen

    def _inspect(self, text: str, source: Source | None) -> _Seen:
        spans = find_personal_data(text, self._kinds) if self._kinds else []
        if self.policy.secrets is not Action.ALLOW:
            secrets = _apart(sorted(find_secrets(text, lower(text)), key=lambda span: (span.start, -span.end)))
            spans = [
                span
                for span in spans
                if not any(span.start < other.end and other.start < span.end for other in secrets)
            ]
            spans = sorted([*spans, *secrets], key=lambda span: span.start)
        injection = None
        if source is not None and self.policy.injection is not Action.ALLOW:
            found = self._detector.inspect(text, source)
            if found.score >= self._thresholds[source]:
                injection = found
        return _Seen(tuple(spans), injection)

    def _topics(self, messages: Sequence[Message]) -> Iterable[Finding]:
        if not self.policy.denied and self.policy.allowed is None:
            return
        index = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), None)
        if index is None:
            return
        folded = fold(messages[index].content)
        for topic, span in find_topics(folded, self.policy.denied):
            yield Finding("topic", 0, len(messages[index].content), index, topic.action, 1.0, topic.name)
            del span
        allowed = self.policy.allowed
        if allowed is not None and allowed.pattern.search(folded) is None:
            yield Finding("topic", 0, len(messages[index].content), index, allowed.action, 1.0, "none of the allowed")


def _apart(spans: list[Span]) -> list[Span]:
    """The spans in order without those that begin inside an earlier one."""
    kept: list[Span] = []
    for span in spans:
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def _mask(messages: Sequence[Message], findings: Sequence[Finding]) -> tuple[tuple[Message, ...], dict[str, str]]:
    """The messages with placeholders, the same one for the same value, and what each stands for."""
    everything = "\n".join(message.content for message in messages)
    placeholders: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}

    def placeholder(kind: str, value: str) -> str:
        known = placeholders.get((kind, value))
        while known is None:
            counts[kind] = counts.get(kind, 0) + 1
            candidate = f"[{kind.upper()}_{counts[kind]}]"
            if candidate not in everything:  # the user may have written it in earnest
                known = placeholders[kind, value] = candidate
        return known

    masked = []
    for index, message in enumerate(messages):
        parts, done = [], 0
        for finding in findings:
            if finding.message != index or finding.action is not Action.MASK or finding.start < done:
                continue
            parts += [
                message.content[done : finding.start],
                placeholder(finding.kind, message.content[finding.start : finding.end]),
            ]
            done = finding.end
        content = "".join((*parts, message.content[done:]))
        masked.append(replace(message, content=content) if parts else message)
    values = {value: name for (_, value), name in placeholders.items()}
    masked = [_mask_calls(message, values) for message in masked]
    return tuple(masked), {name: value for (_, value), name in placeholders.items()}


def _mask_calls(message: Message, values: dict[str, str]) -> Message:
    """Earlier tool calls repeat what was put back in them: the same values get the same placeholders."""
    if not message.tool_calls or not any(value in call.arguments for call in message.tool_calls for value in values):
        return message
    calls = []
    for call in message.tool_calls:
        arguments = call.arguments
        for value in sorted(values, key=len, reverse=True):
            arguments = arguments.replace(value, values[value])
        calls.append(ToolCall(call.id, call.name, arguments))
    return replace(message, tool_calls=tuple(calls))
