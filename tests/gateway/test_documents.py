"""Documents behind the gateway, asked by OpenAI's own client and over HTTP; each key sees what its tags allow."""

from __future__ import annotations

import httpx
import openai
import pytest
from asked_documents import SayingModel, make_collection

from inhouse.core.errors import UsageError
from inhouse.core.settings import Settings
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.prompt import NOT_FOUND
from inhouse.engines.base import Health
from inhouse.gateway.cache import AnswerCache
from inhouse.gateway.cache_store import MemoryStore
from inhouse.gateway.documents import Collection, DocumentsUpstream, open_collections
from inhouse.gateway.failover import Router
from inhouse.gateway.pool import Offer
from inhouse.gateway.replica import Replica
from inhouse.gateway.settings import DocumentsSettings

LEAVE = "How many days of annual leave do employees have?"
SALARY = "Where does the salary band of a senior engineer begin?"


class Model(SayingModel):
    """A whole engine as the router wants one."""

    async def health(self):
        return Health(True)

    async def loaded(self):
        return ()

    async def close(self):
        pass


@pytest.fixture
def model():
    def say(request):
        text = request.messages[-1].content
        salary = "80 million" in text and "salary" in text.splitlines()[-1]
        return "80 million won [1]." if salary else "Every employee has 25 days [1], surely [42]."

    return Model(say)


@pytest.fixture(scope="module")
def embedder():
    return NanoEmbedder(threads=1)


@pytest.fixture
async def running(start, model, embedder, tmp_path):
    searcher = make_collection(tmp_path, embedder)

    class Opened(dict):
        def close(self):
            searcher.store.close()

    collections = Opened(default=Collection("default", searcher, "m", 5, 100))
    upstream = DocumentsUpstream(Router({"m": Offer((Replica("saying", model, "m", 4),))}), collections)
    cache = AnswerCache(MemoryStore(), scope="all")
    return await start(upstream=upstream, documents=collections, cache=cache)


def client(running, key="any"):
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)


def http(running, key="any"):
    return httpx.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {key}"})


async def test_openais_client_asks_the_documents(running):
    async with client(running) as openai_client:
        answer = await openai_client.chat.completions.create(
            model="docs/default", messages=[{"role": "user", "content": LEAVE}], temperature=0
        )
        models = [model.id async for model in openai_client.models.list()]
    text = answer.choices[0].message.content
    assert text.startswith("Every employee has 25 days [1], surely.")
    assert text.endswith("Sources:\n[1] leave.md › Leave › Annual leave")
    (citation,) = answer.model_extra["citations"]
    assert (citation["path"], citation["headings"], citation["number"]) == ("leave.md", ["Leave", "Annual leave"], 1)
    assert models == ["m", "docs/default"]
    (row,) = running.rows()
    assert (row["model"], row["prompt_tokens"], row["completion_tokens"]) == ("m", 10, 5)


async def test_the_answer_streams_with_its_citations_at_the_end(running):
    async with client(running) as openai_client:
        stream = await openai_client.chat.completions.create(
            model="docs/default", messages=[{"role": "user", "content": LEAVE}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.startswith("Every employee has 25 days [1], surely.\n\nSources:\n[1] leave.md")
    assert len(chunks) > 8
    assert [chunk.model_extra["citations"][0]["path"] for chunk in chunks if chunk.model_extra] == ["leave.md"]
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_what_is_not_in_the_documents_is_said_and_costs_nothing(running, model):
    async with client(running) as openai_client:
        answer = await openai_client.chat.completions.create(
            model="docs/default", messages=[{"role": "user", "content": "Who won the world cup in 1998?"}]
        )
    assert answer.choices[0].message.content == NOT_FOUND["en"]
    assert answer.model_extra["citations"] == []
    assert model.requests == []


async def test_other_models_are_answered_as_before(running):
    async with client(running) as openai_client:
        answer = await openai_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    assert "[42]" in answer.choices[0].message.content
    assert "citations" not in (answer.model_extra or {})


async def test_tools_cannot_come_near_retrieved_text(running):
    tool = {"type": "function", "function": {"name": "delete", "parameters": {"type": "object", "properties": {}}}}
    async with client(running) as openai_client:
        with pytest.raises(openai.APIStatusError, match="no tools"):
            await openai_client.chat.completions.create(
                model="docs/default", messages=[{"role": "user", "content": LEAVE}], tools=[tool]
            )


async def test_a_key_sees_open_documents_and_those_with_one_of_its_tags(running, model):
    _, plain = running.keys.create("plain")
    _, hr = running.keys.create("hr", tags=["hr"])
    _, boss = running.keys.create("boss", role="admin")
    running.gateway.keys.refresh()
    seen = {}
    for name, key in (("plain", plain), ("hr", hr), ("boss", boss)):
        async with client(running, key) as openai_client, http(running, key) as plain_client:
            answer = await openai_client.chat.completions.create(
                model="docs/default", messages=[{"role": "user", "content": SALARY}], temperature=0
            )
            found = (await plain_client.post("/v1/documents/default/search", json={"question": SALARY})).json()
            listed = (await plain_client.get("/v1/documents/default")).json()
            counts = (await plain_client.get("/v1/documents")).json()["data"][0]["documents"]
        said = "80 million" in answer.choices[0].message.content
        searched = any(hit["path"] == "hr/salaries.md" for hit in found["data"])
        paths = any(document["path"] == "hr/salaries.md" for document in listed["data"])
        seen[name] = (said, searched, paths, counts)
    assert seen == {"plain": (False,) * 3 + (3,), "hr": (True,) * 3 + (4,), "boss": (True,) * 3 + (4,)}


async def test_an_answer_of_one_key_is_not_kept_for_another(running, model):
    """The cache is everybody's here, and yet may not hold what depends on documents and tags."""
    _, hr = running.keys.create("hr", tags=["hr"])
    _, plain = running.keys.create("plain")
    running.gateway.keys.refresh()
    said = []
    for key in (hr, plain, hr):
        async with client(running, key) as openai_client:
            answer = await openai_client.chat.completions.create(
                model="docs/default", messages=[{"role": "user", "content": SALARY}], temperature=0
            )
            said.append("80 million" in answer.choices[0].message.content)
    assert said == [True, False, True]


async def test_a_key_without_the_collection_in_its_scope_is_refused(running):
    _, key = running.keys.create("narrow", models=["m"])
    _, docs = running.keys.create("documents", models=["docs/default"])
    running.gateway.keys.refresh()
    async with client(running, key) as openai_client, http(running, key) as plain:
        with pytest.raises(openai.PermissionDeniedError):
            await openai_client.chat.completions.create(
                model="docs/default", messages=[{"role": "user", "content": LEAVE}]
            )
        assert (await plain.get("/v1/documents/default")).status_code == 403
        assert (await plain.post("/v1/documents/default/search", json={"question": LEAVE})).status_code == 403
        assert (await plain.get("/v1/documents")).json()["data"] == []
    async with client(running, docs) as openai_client:
        answer = await openai_client.chat.completions.create(
            model="docs/default", messages=[{"role": "user", "content": LEAVE}]
        )
        assert "25 days" in answer.choices[0].message.content
    async with http(running, "wrong") as plain:
        assert (await plain.get("/v1/documents")).status_code == 401


async def test_an_admin_adds_and_deletes_documents_that_are_found_at_once(running):
    _, admin = running.keys.create("admin", role="admin")
    _, plain = running.keys.create("plain")
    running.gateway.keys.refresh()
    body = b"# Parking\n\nThe car park opens at six in the morning.\n"
    question = {"question": "When does the car park open?"}
    async with http(running, admin) as boss, http(running, plain) as other:
        assert (await other.post("/v1/documents/default?path=a.md", content=body)).status_code == 403
        made = await boss.post("/v1/documents/default?path=site/parking.md", content=body)
        assert made.status_code == 201
        assert "source" not in made.json()
        again = await boss.post("/v1/documents/default?path=site/parking.md&tag=site", content=body)
        assert again.json()["id"] == made.json()["id"], "sent again, it is replaced"
        hits = (await boss.post("/v1/documents/default/search", json=question)).json()["data"]
        assert hits[0]["path"] == "site/parking.md"
        hits = (await other.post("/v1/documents/default/search", json=question)).json()["data"]
        assert all(hit["path"] != "site/parking.md" for hit in hits), "it has a tag now"
        assert (await other.delete(f"/v1/documents/default/{made.json()['id']}")).status_code == 403
        assert (await boss.delete(f"/v1/documents/default/{made.json()['id']}")).json()["deleted"]
        hits = (await boss.post("/v1/documents/default/search", json=question)).json()["data"]
        assert all(hit["path"] != "site/parking.md" for hit in hits)
        assert (await boss.delete(f"/v1/documents/default/{made.json()['id']}")).status_code == 404


@pytest.mark.parametrize("path", ["../up.md", "/etc/passwd.md", "a\\b.md", "program.exe", "no-ending"])
async def test_an_upload_cannot_be_named_so(running, path):
    async with http(running) as plain:
        answer = await plain.post("/v1/documents/default", params={"path": path}, content=b"text")
    assert answer.status_code == 400


async def test_an_upload_that_cannot_be_read_is_refused_with_the_reason(running):
    async with http(running) as plain:
        answer = await plain.post("/v1/documents/default?path=broken.pdf", content=b"%PDF-1.7 broken")
        assert answer.status_code == 400
        assert "broken.pdf" in answer.json()["error"]["message"]
        assert (await plain.post("/v1/documents/default?path=empty.md", content=b"")).status_code == 400
        assert (await plain.get("/v1/documents/none")).status_code == 404


def test_a_collection_that_is_not_there_or_has_no_model_stops_the_gateway(tmp_path):
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(UsageError, match="no collection"):
        open_collections(settings, [DocumentsSettings(name="nothing")], ["m"])
    with pytest.raises(UsageError, match="not served"):
        open_collections(settings, [DocumentsSettings(name="nothing", model="x")], ["m"])
    assert open_collections(settings, [], ["m"]) is None
