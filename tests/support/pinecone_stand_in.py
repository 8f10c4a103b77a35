"""A stand-in for Pinecone that speaks its wire format: data plane (upsert, query, fetch, delete) and an index's host.

Written from Pinecone's published API (2025-10); answers immediately where the cloud answers after some seconds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

KEY = "stand-in-key"
_LIMIT_BYTES = 2 * 1024 * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: int, message: str) -> None:
        self._answer(status, {"code": code, "message": message, "details": []})

    def _allowed(self) -> bool:
        if self.headers.get("Api-Key") == KEY:
            return True
        self._refuse(401, 16, "Invalid API Key")
        return False

    def do_GET(self) -> None:
        if self._allowed():
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if url.path == "/vectors/fetch":
                self._answer(200, self.server.fetch(query.get("namespace", [""])[0], query.get("ids", [])))
            else:
                self._refuse(404, 5, f"no route {url.path}")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        routes = {
            "/vectors/upsert": self.server.upsert,
            "/vectors/delete": self.server.delete,
            "/query": self.server.query,
        }
        if not self._allowed():
            return
        if self.path not in routes:
            self._refuse(404, 5, f"no route {self.path}")
        elif len(raw) > _LIMIT_BYTES:
            self._refuse(400, 3, f"Request size {len(raw)} exceeds the limit of {_LIMIT_BYTES}")
        else:
            try:
                with self.server.lock:
                    answer = routes[self.path](json.loads(raw))
            except _Invalid as error:
                self._refuse(400, 3, str(error))
            else:
                self._answer(200, answer)


class _Invalid(Exception):
    pass


def _passes(metadata: dict[str, Any], condition: dict[str, Any] | None) -> bool:
    for field, test in (condition or {}).items():
        ((operator, wanted),) = test.items()
        if operator != "$in" or metadata.get(field) not in wanted:
            return False
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.namespaces: dict[str, dict[str, tuple[list[float], dict[str, Any]]]] = {}
        self.dimension = 0
        self.lock = threading.Lock()

    def fetch(self, namespace: str, ids: list[str]) -> dict[str, Any]:
        rows = self.namespaces.get(namespace, {})
        found = {i: {"id": i, "values": rows[i][0], "metadata": rows[i][1]} for i in ids if i in rows}
        return {"vectors": found, "namespace": namespace, "usage": {"readUnits": 1}}

    def upsert(self, body: dict[str, Any]) -> dict[str, Any]:
        rows = self.namespaces.setdefault(body.get("namespace", ""), {})
        if len(body["vectors"]) > 1000:
            raise _Invalid("At most 1000 vectors in one upsert")
        for vector in body["vectors"]:
            values = vector["values"]
            self.dimension = self.dimension or len(values)
            if len(values) != self.dimension:
                raise _Invalid(f"Vector dimension {len(values)} does not match the index's {self.dimension}")
            rows[vector["id"]] = (np.float32(values).tolist(), vector.get("metadata", {}))
        return {"upsertedCount": len(body["vectors"])}

    def delete(self, body: dict[str, Any]) -> dict[str, Any]:
        if len(body.get("ids", [])) > 1000:
            raise _Invalid("At most 1000 ids in one delete")
        rows = self.namespaces.get(body.get("namespace", ""), {})
        for i in list(rows) if body.get("deleteAll") else body["ids"]:
            rows.pop(i, None)
        return {}

    def query(self, body: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= body["topK"] <= 10_000:
            raise _Invalid("topK must be between 1 and 10000")
        rows = self.namespaces.get(body.get("namespace", ""), {})
        kept = [(i, v) for i, (v, metadata) in rows.items() if _passes(metadata, body.get("filter"))]
        scores = np.float32([v for _, v in kept]) @ np.float32(body["vector"]) if kept else np.zeros(0)
        best = np.argsort(-scores, kind="stable")[: body["topK"]]
        matches = [{"id": kept[n][0], "score": float(scores[n]), "values": []} for n in best]
        return {"matches": matches, "namespace": body.get("namespace", ""), "results": [], "usage": {"readUnits": 5}}


@contextmanager
def run_pinecone() -> Iterator[str]:
    """The URL of an empty index's host."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
