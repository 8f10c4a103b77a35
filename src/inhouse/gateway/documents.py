"""Collections of documents behind the gateway: each a model docs/<name> that answers from what its caller may see.

Stands before the router (it is an `Upstream` itself): the search is made here, the answer by one of its models, in
that model's queue and under the caller's own key. Knows no API.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from inhouse.core.errors import EngineRefused, UnsupportedFeature, UsageError
from inhouse.core.settings import Settings
from inhouse.docs.citations import CitationsEvent, language_of, sources_text
from inhouse.engines.base import (
    ChatRequest,
    Embeddings,
    Event,
    Health,
    LoadedModel,
    ModelInfo,
    TextEvent,
)
from inhouse.gateway.base import Route
from inhouse.gateway.failover import Router
from inhouse.gateway.identity import Caller
from inhouse.gateway.routed_model import RoutedModel
from inhouse.gateway.settings import DocumentsSettings

if TYPE_CHECKING:
    from inhouse.docs.search import Searcher
    from inhouse.docs.stores.base import Filter

PREFIX = "docs/"


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection on offer, opened; `model` answers from it."""

    name: str
    searcher: Searcher
    model: str
    k: int
    max_tokens: int
    lock: Path | None = None
    """The file that keeps two syncs of it apart on this machine; None where it cannot be synced from here."""

    @property
    def served_as(self) -> str:
        """The model's name by which callers ask it."""
        return PREFIX + self.name


class Collections(Mapping[str, Collection]):
    """The collections on offer by name; `close` gives their stores and embedders back."""

    def __init__(self, found: Mapping[str, Collection], opened: ExitStack) -> None:
        self._found = dict(found)
        self._opened = opened

    def __getitem__(self, name: str) -> Collection:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def close(self) -> None:
        """Closes them all."""
        self._opened.close()


def open_collections(
    settings: Settings, wanted: Sequence[DocumentsSettings], models: Sequence[str]
) -> Collections | None:
    """The collections of the settings, opened; None where none is on offer.

    Raises:
        UsageError: there is no such collection, or its model is not among `models`.
    """
    if not wanted:
        return None
    from inhouse.docs.opening import open_embedder
    from inhouse.docs.search import Searcher
    from inhouse.docs.stores.open import open_store

    found: dict[str, Collection] = {}
    with ExitStack() as stack:
        for one in wanted:
            model = one.model or models[0]
            if model not in models:
                raise UsageError(f"The documents {one.name} are to be answered by {model!r}, which is not served here")
            if one.name in found:
                raise UsageError(f"The collection {one.name} is configured twice")
            if not one.store and not (settings.data_dir / "docs" / f"{one.name}.db").exists():
                raise UsageError(
                    f"There is no collection {one.name}", do=f"Make it: inhouse docs add PATH --collection {one.name}"
                )
            store = open_store(one.store, one.name, data_dir=settings.data_dir)
            stack.callback(store.close)
            embedder = stack.enter_context(open_embedder(str(store.settings().get("embedding", "")), settings))
            lock = settings.data_dir / "docs" / f"{one.name}.lock"  # as `inhouse docs sync` has it
            found[one.name] = Collection(one.name, Searcher(store, embedder), model, one.k, one.max_tokens, lock)
        return Collections(found, stack.pop_all())


def visible(caller: Caller, *, under: str = "") -> Filter:
    """What the caller may see of a collection: documents without tags, and those with one of the caller's."""
    from inhouse.docs.stores.base import Filter

    return Filter(tags_any=caller.sees, path_prefix=under or None)


class DocumentsUpstream:
    """The router with the collections before it. See `base.Upstream`; owns both."""

    def __init__(self, router: Router, collections: Collections) -> None:
        self._router = router
        self._collections = collections

    def chat(
        self,
        request: ChatRequest,
        caller: Caller,
        route: Route,
        *,
        deadline_s: float | None = None,
        prefix: bytes | None = None,
    ) -> AsyncGenerator[Event, None]:
        """See `Upstream.chat`; an answer from documents brings a CitationsEvent, and its sources as text as well."""
        if not self._is_ours(request.model):
            return self._router.chat(request, caller, route, deadline_s=deadline_s, prefix=prefix)
        return self._answer(self._collections[request.model.removeprefix(PREFIX)], request, caller, route, deadline_s)

    async def _answer(
        self, collection: Collection, request: ChatRequest, caller: Caller, route: Route, deadline_s: float | None
    ) -> AsyncGenerator[Event, None]:
        from inhouse.docs.answer import AnswerPlan, FoundEvent, answer

        # Counted and priced as the model that does the work; as with a fallback, such answers are not cached either:
        # another caller may see other documents, and these may change.
        route.model = collection.model
        if request.tools or request.json_schema is not None:
            raise UnsupportedFeature("Answers from documents take no tools and no schema", do="Leave them out")
        if not request.messages or request.messages[-1].role != "user" or not request.messages[-1].content.strip():
            raise EngineRefused("Documents are asked by a user's message", why="the last message is none")
        question = request.messages[-1].content
        plan = AnswerPlan(
            k=collection.k,
            max_tokens=request.max_tokens or collection.max_tokens,
            temperature=request.temperature or 0.0,
            seed=request.seed,
        )
        model = RoutedModel(self._router, collection.model, caller, route, deadline_s)
        events = answer(
            question, request.messages[:-1], collection.searcher, model, collection.model, plan=plan,
            where=visible(caller),
        )  # fmt: skip
        async with aclosing(events):
            async for event in events:
                if isinstance(event, FoundEvent):
                    continue
                if isinstance(event, CitationsEvent) and event.citations:
                    yield TextEvent(event.at, sources_text(event.citations, language_of(question)))
                yield cast("Event", event)

    async def embed(
        self, model: str, texts: Sequence[str], caller: Caller, route: Route, *, deadline_s: float | None = None
    ) -> Embeddings:
        """See `Upstream.embed`."""
        if self._is_ours(model):
            raise UnsupportedFeature("Documents embed nothing for others", do="Name a model with embeddings")
        return await self._router.embed(model, texts, caller, route, deadline_s=deadline_s)

    def serves(self, model: str) -> bool:
        """See `Upstream.serves`."""
        return self._is_ours(model) or self._router.serves(model)

    async def models(self) -> tuple[ModelInfo, ...]:
        """See `Upstream.models`: the router's, then the collections."""
        ours = (ModelInfo(collection.served_as) for collection in self._collections.values())
        return (*await self._router.models(), *ours)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `Upstream.loaded`."""
        return await self._router.loaded()

    async def health(self) -> Health:
        """See `Upstream.health`."""
        return await self._router.health()

    async def start(self) -> None:
        """See `Upstream.start`."""
        await self._router.start()

    async def close(self) -> None:
        """See `Upstream.close`."""
        await self._router.close()
        self._collections.close()

    def _is_ours(self, model: str) -> bool:
        return model.startswith(PREFIX) and model.removeprefix(PREFIX) in self._collections
