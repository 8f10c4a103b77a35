"""Every error the program raises on purpose, as one tree.

An error carries what happened, why, and what to do about it; the CLI and the API each render it in one
place. Anything else that reaches the user is a defect.
"""

from __future__ import annotations


class InhouseError(Exception):
    """Base of all: `what` happened (one line), `why` (cause, may be empty), `do` (the next step, may be empty).

    `exit_code` is what a command that ends with this error returns to the shell.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        self.what = what
        self.why = why
        self.do = do
        super().__init__(what)

    def __str__(self) -> str:
        """The error on one line, as logs and stored samples keep it."""
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text}. {self.do}" if self.do else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive pickling by default, and errors cross process borders.
        return (_rebuild, (type(self), self.what, self.why, self.do))


def _rebuild(kind: type[InhouseError], what: str, why: str, do: str) -> InhouseError:
    return kind(what, why=why, do=do)


class UsageError(InhouseError):
    """The caller's input cannot be used (a bad option, an empty prompt, a negative number)."""

    exit_code = 2


class MissingExtra(InhouseError):
    """A part needs an optional package that is not installed."""


# --- models ---------------------------------------------------------------------------------------------


class ModelError(InhouseError):
    """Something about a model file or the catalogue."""


class UnknownModel(ModelError):
    """No catalogue entry or model file goes by that name."""

    exit_code = 2


class ModelNotPulled(ModelError):
    """The catalogue knows the model, but its file is not on this machine."""


class SourceUnavailable(ModelError):
    """One source, or all of them, could not deliver the model."""


class ChecksumMismatch(ModelError):
    """What was downloaded is not what the catalogue names; the file was refused."""


class NotEnoughSpace(ModelError):
    """The disk cannot hold the download."""


class CorruptModel(ModelError):
    """The file is no readable GGUF."""


# --- engines --------------------------------------------------------------------------------------------


class EngineError(InhouseError):
    """An engine could not do what was asked. `kind` is the short name that a stored sample keeps."""

    kind = "engine"


class EngineUnavailable(EngineError):
    """The server cannot be reached (refused, no route, bad name)."""

    kind = "unavailable"


class EngineCrashed(EngineError):
    """The engine's process ended, or the connection broke, in the middle of an answer."""

    kind = "crashed"


class EngineStalled(EngineError):
    """The server is connected but sent nothing for longer than the stall limit."""

    kind = "stalled"


class EngineProtocolError(EngineError):
    """The server sent something that is not its protocol (malformed bytes, cut-off stream)."""

    kind = "protocol"


class EngineRefused(EngineError):
    """The server understood the request and refused it (HTTP 4xx other than the ones below)."""

    kind = "refused"


class EngineUnauthorised(EngineError):
    """The server wants a key, or a better one (401, 403)."""

    kind = "unauthorised"


class EngineOverloaded(EngineError):
    """The server is busy or loading (429, 503). `retry_after_s` where it said when to come back."""

    kind = "overloaded"
    retry_after_s: float | None = None


class EngineFailed(EngineError):
    """The server met an error of its own (HTTP 5xx) and is still there."""

    kind = "failed"


class EngineModelMissing(EngineError):
    """The engine does not have that model."""

    kind = "model_missing"


class ContextExceeded(EngineError):
    """The prompt does not fit the model's context window."""

    kind = "context_exceeded"


class UnsupportedFeature(EngineError):
    """The engine does not offer what was asked (see its capabilities)."""

    kind = "unsupported"


# --- store, benches, reports ------------------------------------------------------------------------------


class StoreError(InhouseError):
    """The database cannot be opened, is of a newer version, or does not hold what was asked for."""


class RunNotFound(StoreError):
    """No run goes by that id."""

    exit_code = 2


class CollectionMismatch(StoreError):
    """A collection of documents was made with another embedding, or holds vectors of another length."""

    exit_code = 2


class BenchError(InhouseError):
    """A measurement could not be made or is not meaningful."""


class PartSkipped(InhouseError):
    """A part of a study cannot be made on this machine; the study goes on, and its report says why.

    `message` is the id of the sentence that says so in the report's languages, `figures` fill it in.
    """

    def __init__(self, what: str, *, why: str = "", do: str = "", message: str = "", **figures: str) -> None:
        super().__init__(what, why=why, do=do)
        self.message = message
        self.figures = figures


class RunInterrupted(InhouseError):
    """The user stopped a run; what was measured is kept and the run can be resumed."""

    exit_code = 130


# --- documents --------------------------------------------------------------------------------------------


class DocumentError(InhouseError):
    """Something about a collection of documents or one of its files."""


class UnreadableDocument(DocumentError):
    """One file cannot be read; it is reported, and the others go on."""


# --- quality ----------------------------------------------------------------------------------------------


class QualityError(InhouseError):
    """A model's answers cannot be judged as asked."""


class BadSuite(QualityError):
    """A suite's file, one of its items or a scorer's options cannot be used; file and line are named."""

    exit_code = 2


# --- the gateway ------------------------------------------------------------------------------------------


class GatewayError(InhouseError):
    """The gateway refuses a request. Its caller sees it in the form of the API that was called.

    `http_status` and `code` (stable, for programs; OpenAI's own code where there is one) belong to the class.
    """

    http_status = 500
    code = "gateway_error"
    retryable = False
    """Whether the same request can succeed later; clients are told (`x-should-retry`)."""

    retry_after_s: float | None = None
    """When to come back, where that is known; sent as Retry-After."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further headers of the answer (the state of the limits)."""

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        do: str = "",
        retry_after_s: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(what, why=why, do=do)
        self.retry_after_s = retry_after_s
        self.headers = headers


class InvalidRequest(GatewayError):
    """The body is no valid request. `param` names the field, where one is to blame."""

    http_status = 400
    code = "invalid_request"
    param: str | None = None

    def __init__(self, what: str, *, why: str = "", do: str = "", param: str | None = None) -> None:
        super().__init__(what, why=why, do=do)
        self.param = param


class RequestTooLarge(GatewayError):
    """The body is over the limit of the gateway."""

    http_status = 413
    code = "request_too_large"


class Unauthenticated(GatewayError):
    """No key, or one that is unknown, expired or revoked."""

    http_status = 401
    code = "invalid_api_key"


class Forbidden(GatewayError):
    """The key is good, but not for this."""

    http_status = 403
    code = "permission_denied"


class ModelNotServed(GatewayError):
    """The gateway serves no model of that name to this key."""

    http_status = 404
    code = "model_not_found"


class RateLimited(GatewayError):
    """The key or its team is over its rate of requests or tokens, or of requests at once."""

    http_status = 429
    code = "rate_limit_exceeded"
    retryable = True


class BudgetExceeded(GatewayError):
    """The key's budget for the day or the month is used up."""

    http_status = 429
    code = "insufficient_quota"


class QueueFull(GatewayError):
    """As many requests wait for the model as may."""

    http_status = 503
    code = "queue_full"
    retryable = True


class DeadlineExceeded(GatewayError):
    """The request cannot be started, or was not, within the time it gave."""

    http_status = 503
    code = "deadline_exceeded"
    retryable = True


class Draining(GatewayError):
    """The gateway is shutting down: it finishes what it has begun and takes nothing new."""

    http_status = 503
    code = "draining"
    retryable = True


class SharedStateLost(GatewayError):
    """The Redis that several gateway processes share does not answer."""

    http_status = 503
    code = "shared_state_lost"
    retryable = True


class GuardBlocked(GatewayError):
    """The guard's policy forbids the request or the answer. Never repeats what was found."""

    http_status = 400
    code = "content_filter"


# --- the agent --------------------------------------------------------------------------------------------


class AgentError(InhouseError):
    """The agent cannot begin or go on; what was done so far is kept."""


class ConversationNotFound(AgentError):
    """No conversation goes by that id."""

    exit_code = 2


class ConversationBusy(AgentError):
    """Another process, or another task of this one, drives the conversation."""


class AnswerStopped(AgentError):
    """The person stopped an answer before its first word, or left; the conversation can go on."""


class ReplayDiverged(AgentError):
    """A replay does not do what was recorded: the program, or the agent's configuration, has changed."""


class ToolError(InhouseError):
    """A tool could not do a call. The model is told, in these words, and can mend its call.

    `retryable`: the same call may succeed when it is made again (a time-out, a server that is down).
    """

    def __init__(self, what: str, *, why: str = "", do: str = "", retryable: bool = False) -> None:
        super().__init__(what, why=why, do=do)
        self.retryable = retryable
