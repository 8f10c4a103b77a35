"""Filters an answer while it streams: puts masked values back, masks or blocks what the policy forbids.

Holds back only the end of the text that could still become something: a word, a number, a placeholder, a
repetition of the system prompt. Addresses and names are not looked for in answers; they need whole lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import orjson

from inhouse.core.errors import GuardBlocked
from inhouse.gateway.guard.leak import LeakWatch, SystemPrompt
from inhouse.gateway.guard.normalise import lower
from inhouse.gateway.guard.personal_data import COMPACT_KINDS, find_personal_data
from inhouse.gateway.guard.policy import Policy
from inhouse.gateway.guard.secrets import find_secrets
from inhouse.gateway.guard.verdict import Action, Finding, Span, strictest

_PLACEHOLDER = re.compile(r"\[[A-Za-z_]{2,24}_[0-9]{1,5}\]")
_PLACEHOLDER_BEGUN = re.compile(r"\[[A-Za-z_]{0,24}[0-9]{0,5}$")
# A number with its separators, or a run of the characters that addresses and keys are made of.
_UNFINISHED = re.compile(r"(?:[+(]{0,2}[0-9０-９][0-9０-９ ().\-/~－]{0,47}|[^\s가-힣ㄱ-ㅣ一-鿿]{1,4096})$")
_WORTH_A_LOOK = re.compile(r"[0-9０-９@:]|[공일이삼사오육칠팔구]{3}|[A-Za-z0-9_\-]{16}")
_CONTEXT = 120
_BLOCK_ENDED = re.compile(r"-----END [A-Z ]{1,40}-----")


class OutputFilter:
    """One answer's filter. Feed it every piece of text in order, then finish it; send what it returns.

    With a dry run nothing is masked or blocked: findings tell what would have been. Masked values of the
    request are put back in any case.
    """

    def __init__(
        self,
        policy: Policy,
        restore: Mapping[str, str],
        system_prompt: str | None,
        known: Iterable[str],
        *,
        dry_run: bool,
    ) -> None:
        self._policy = policy
        self._dry_run = dry_run
        self._restore = {placeholder.lower(): value for placeholder, value in restore.items()}
        self._kinds = frozenset(
            kind
            for kind, action in policy.output_personal_data.items()
            if action is not Action.ALLOW and kind in COMPACT_KINDS
        )
        self._watch: LeakWatch | None = None
        if system_prompt and policy.system_prompt is not Action.ALLOW:
            prompt = SystemPrompt(system_prompt, known)
            self._watch = LeakWatch(prompt) if prompt.watched else None
        self._looks = bool(self._kinds) or policy.output_secrets is not Action.ALLOW
        self._held = ""
        self._watched = 0  # characters of `_held` that the watch has read
        self._echo = 0  # characters at the end of `_held` that repeat the system prompt
        self._context = ""
        self._sent = 0
        self._told_leak = False
        self.findings: list[Finding] = []

    def feed(self, text: str) -> str:
        """Takes the next piece of the answer; what may be sent now (often not all of it, sometimes nothing).

        Raises:
            GuardBlocked: the policy forbids the answer; what was sent before stays sent.
        """
        self._held += text
        self._follow_leak()
        cut = self._safe_cut()
        return self._release(cut) if cut else ""

    def finish(self) -> str:
        """The rest of the answer."""
        return self._release(len(self._held)) if self._held else ""

    @property
    def action(self) -> Action:
        """The strictest thing that was done so far."""
        return strictest(tuple(self._effective(finding.action) for finding in self.findings))

    def restored_json(self, arguments: str) -> str:
        """A tool call's arguments (JSON text) with masked values put back."""
        return self._put_back(arguments, quoted=True)

    # --- what to hold back ------------------------------------------------------------------------------

    def _safe_cut(self) -> int:
        held = self._held
        cut = len(held) - self._echo
        if self._restore:
            begun = _PLACEHOLDER_BEGUN.search(held, max(0, len(held) - 34))
            if begun is not None:
                cut = min(cut, begun.start())
        if self._looks or self._watch is not None:
            unfinished = _UNFINISHED.search(held, max(0, len(held) - 4144))
            if unfinished is not None and not (unfinished.start() == 0 and len(held) > 4144):
                cut = min(cut, self._extended(unfinished.start()))
            block = held.find("-----BEGIN")
            if block >= 0:
                ended = _BLOCK_ENDED.search(held, block)
                if self._may_be_key(block) if ended is None else block < cut < ended.end():
                    cut = min(cut, block)
        return max(0, cut)

    def _may_be_key(self, block: int) -> bool:
        """Whether what begins at `block` is a private key, or is too short to tell."""
        length = len(self._held) - block
        return length < 60 or ("PRIVATE KEY" in self._held[block : block + 60] and length < 10_000)

    def _extended(self, start: int) -> int:
        """A number may have begun before the word that is still open: 010 1234 |5678."""
        head = re.search(r"[+(]{0,2}[0-9０-９][0-9０-９ ().\-/~－]{0,47}$", self._held[max(0, start - 48) : start])
        return start - len(head[0]) if head else start

    def _follow_leak(self) -> None:
        if self._watch is None:
            return
        fresh = self._held[self._watched :]
        back = self._watch.feed(fresh)
        self._watched = len(self._held)
        self._echo = self._echo + len(fresh) if back == len(fresh) and fresh else back
        if not self._watch.leaked and len(self._held) >= 24:
            self._watch.leaked = self._watch.holds_encoded(self._held)
        if self._watch.leaked and not self._told_leak:
            self._told_leak = True
            action = self._effective(self._policy.system_prompt)
            self.findings.append(
                Finding("system_prompt", self._sent, self._sent + len(self._held), -1, self._policy.system_prompt)
            )
            if action is Action.BLOCK:
                raise GuardBlocked("The answer was stopped by the gateway's policy", why="it repeats the system prompt")
            if action is Action.MASK:
                self._held, self._watched, self._echo = "[SYSTEM_PROMPT] ", 0, 0
            self._watch = None

    # --- what goes out ----------------------------------------------------------------------------------

    def _release(self, cut: int) -> str:
        piece, self._held = self._held[:cut], self._held[cut:]
        self._watched = max(0, self._watched - cut)
        self._echo = min(self._echo, len(self._held))
        out = self._put_back(self._masked(piece), quoted=False)
        self._context = (self._context + piece)[-_CONTEXT:]
        self._sent += len(piece)
        if self._sent > self._policy.max_answer_characters and not self._dry_run:
            raise GuardBlocked(
                "The answer was stopped by the gateway's policy", why="it is longer than the policy allows"
            )
        return out

    def _masked(self, piece: str) -> str:
        if not self._looks or _WORTH_A_LOOK.search(piece) is None:
            return piece
        base = len(self._context)
        spans = self._spans(self._context + piece)
        out, done = [], 0
        for span, asked in spans:
            start, end = span.start - base, span.end - base
            if end <= 0 or start < done:
                continue
            start = max(start, 0)
            self.findings.append(
                Finding(span.kind, self._sent + start, self._sent + end, -1, asked, span.score, span.rule)
            )
            action = self._effective(asked)
            if action is Action.BLOCK:
                raise GuardBlocked(
                    "The answer was stopped by the gateway's policy", why=f"it contains data of the kind {span.kind}"
                )
            if action is Action.MASK:
                out += [piece[done:start], f"[{span.kind.upper()}]"]
                done = end
        return "".join((*out, piece[done:]))

    def _spans(self, text: str) -> list[tuple[Span, Action]]:
        found: list[tuple[Span, Action]] = []
        if self._policy.output_secrets is not Action.ALLOW:
            found += [(span, self._policy.output_secrets) for span in find_secrets(text, lower(text))]
        if self._kinds:
            found += [
                (span, self._policy.output_personal_data[span.kind]) for span in find_personal_data(text, self._kinds)
            ]
        return sorted(found, key=lambda pair: (pair[0].start, -pair[0].end))

    def _put_back(self, text: str, *, quoted: bool) -> str:
        if not self._restore or "[" not in text:
            return text

        def value(match: re.Match[str]) -> str:
            known = self._restore.get(match[0].lower())
            if known is None:
                return match[0]
            return orjson.dumps(known).decode()[1:-1] if quoted else known

        return _PLACEHOLDER.sub(value, text)

    def _effective(self, action: Action) -> Action:
        return Action.LOG if self._dry_run and action in (Action.MASK, Action.BLOCK) else action
