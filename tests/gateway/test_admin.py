"""What admins see and do, and nobody else; what is logged, and what never is."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

BODY = {"model": "parrot", "messages": [{"role": "user", "content": "my secret words"}]}
ADMIN_ROUTES = [
    ("GET", "/metrics"),
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys"),
    ("POST", "/admin/keys/x/rotate"),
    ("DELETE", "/admin/keys/x"),
    ("GET", "/admin/teams"),
    ("PUT", "/admin/teams/x"),
    ("GET", "/admin/usage"),
]


@pytest.fixture
async def admin(start):
    running = await start(open_to_all=False)
    _, text = running.keys.create("root", role="admin")
    running.gateway.keys.refresh()
    async with httpx.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {text}"}) as http:
        http.running = running
        yield http


async def test_every_admin_route_refuses_users_and_strangers(admin):
    _, user = admin.running.keys.create("alice")
    admin.running.gateway.keys.refresh()
    bodies = {"/admin/keys": {"name": "x"}, "/admin/keys/x/rotate": {}, "/admin/teams/x": {}}
    async with httpx.AsyncClient(base_url=admin.running.url) as http:
        for method, path in ADMIN_ROUTES:
            for headers, status in (({}, 401), ({"Authorization": f"Bearer {user}"}, 403)):
                answer = await http.request(method, path, headers=headers, json=bodies.get(path))
                assert answer.status_code == status, (method, path)
    assert [key.name for key in admin.running.keys.all()] == ["alice", "root"]


async def test_an_admin_makes_lists_rotates_and_revokes_keys(admin):
    made = (await admin.post("/admin/keys", json={"name": "alice", "team": "search", "tokens_per_day": 100})).json()
    assert made["key"].startswith(made["prefix"])
    listed = (await admin.get("/admin/keys")).json()
    assert [(key["name"], key["team"]) for key in listed] == [("alice", "search"), ("root", None)]
    assert "key" not in listed[0]
    rotated = (await admin.post(f"/admin/keys/{made['id']}/rotate", json={"grace_hours": 1})).json()
    assert rotated["key"] != made["key"]
    assert (await admin.delete(f"/admin/keys/{made['id']}")).json()["revoked_at"]
    assert [key["name"] for key in (await admin.get("/admin/keys")).json()] == ["root"]
    assert (await admin.delete("/admin/keys/nobody")).status_code == 400
    await admin.put("/admin/teams/search", json={"requests_per_minute": 5})
    assert (await admin.get("/admin/teams")).json()[0]["limits"]["requests_per_minute"] == 5


async def test_usage_is_summed_as_asked(admin):
    for _ in range(3):
        await admin.post("/v1/chat/completions", json=BODY)
    (row,) = (await admin.get("/admin/usage", params={"by": ["key", "model"]})).json()
    assert row["group"]["key"].startswith("root")
    assert (row["group"]["model"], row["requests"], row["completion_tokens"]) == ("parrot", 3, 9)


async def test_metrics_tell_what_was_served(admin):
    await admin.post("/v1/chat/completions", json=BODY)
    await admin.post("/v1/chat/completions", json={**BODY, "stream": True})
    await admin.post("/v1/chat/completions", json={**BODY, "model": "made-up"})
    await asyncio.sleep(0.05)
    answer = await admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    model = ("gen_ai_request_model", "parrot")
    chat = ("gen_ai_operation_name", "chat")
    assert samples["gen_ai_server_time_to_first_token_seconds_count", chat, model] == 2
    assert samples["gen_ai_server_request_duration_seconds_count", ("error_type", ""), chat, model] == 2
    assert samples["inhouse_generation_tokens_total", ("model", "parrot"), ("team", "")] == 6
    assert samples["inhouse_refused_total", ("code", "model_not_found")] == 1
    assert "made-up" not in answer.text


async def test_each_request_is_logged_with_its_id_and_without_its_words(admin):
    answer = await admin.post("/v1/chat/completions", json=BODY)
    refused = await admin.post("/v1/chat/completions", json=BODY, headers={"Authorization": "Bearer no"})
    await asyncio.sleep(0.05)
    lines = {line.get("request_id"): line for line in admin.running.logged()}
    line = lines[answer.headers["x-request-id"]]
    assert (line["event"], line["status"], line["completion_tokens"]) == ("request", 200, 3)
    assert lines[refused.headers["x-request-id"]]["error"] == "invalid_api_key"
    logged = admin.running.log.getvalue()
    assert b"secret" not in logged
    assert admin.headers["authorization"].split()[1].encode() not in logged


async def test_health_needs_no_key(admin):
    async with httpx.AsyncClient(base_url=admin.running.url) as http:
        assert (await http.get("/livez")).text == "ok"
        assert (await http.get("/readyz")).status_code == 200


async def test_the_openapi_page_describes_the_hot_routes_too(admin):
    schema = (await admin.get("/openapi.json")).json()
    for path in ("/v1/chat/completions", "/v1/embeddings", "/api/chat", "/api/generate", "/v1/models", "/admin/keys"):
        assert path in schema["paths"], path
    reference = schema["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    name = reference["$ref"].rsplit("/", 1)[-1]
    assert "messages" in schema["components"]["schemas"][name]["required"]
    assert (await admin.get("/docs")).status_code == 200


async def test_other_paths_and_methods_are_refused_in_the_apis_form(admin):
    missing = await admin.get("/v1/nothing")
    assert missing.status_code == 404
    assert missing.json()["error"]["type"] == "invalid_request_error"
    assert (await admin.get("/v1/chat/completions")).status_code in (404, 405)
    assert isinstance((await admin.get("/api/nothing")).json()["error"], str)
