"""Dashboard and alert rules: every query names metrics, and labels, that a running gateway has."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from running_gateway import serving

from inhouse.gateway.flow_metrics import FlowCollector
from inhouse.gateway.ledger import UsageRow
from inhouse.gateway.metrics import Metrics
from inhouse.store.database import Database

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/inhouse.json").read_text())
PANELS = DASHBOARD["panels"]
QUERIES = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


async def read_metrics(url: str) -> str:
    metrics = Metrics()
    async with serving(url, metrics=metrics) as running:
        metrics.add(FlowCollector(running.gateway.upstream.status))
        async with httpx.AsyncClient(base_url=running.url) as http:
            body = {"model": "parrot", "messages": [{"role": "user", "content": "one two three"}]}
            assert (await http.post("/v1/chat/completions", json=body)).status_code == 200
            assert (await http.post("/v1/chat/completions", json=body | {"model": "none"})).status_code == 404
            # What this gateway does not meet: prices, cache, guard, failover.
            rare = {"cache": "exact", "guard": "mask", "retries": 1, "micro_krw": 5, "cached_tokens": 2}
            while (row := next(iter(running.rows()), None)) is None:
                await asyncio.sleep(0.01)
            metrics.count(UsageRow(**(row | rare)))
            return (await http.get("/metrics")).text


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, set[str]]:
    """The metrics of a running gateway, each with its labels."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/g.db"
    Database(url).close()
    found = {"up": {"job", "instance"}}  # Prometheus's own
    for family in text_string_to_metric_families(asyncio.run(read_metrics(url))):
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = {"job", "instance"}.union(*(sample.labels for sample in family.samples))
    return found


def metrics_in(expression: str) -> set[str]:
    """The names of a query that stand for a metric: neither functions, nor what is grouped by, nor what is selected."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|without)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    names = re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", bare)
    return {name for name in names if name not in ("and", "or", "unless")}


def labels_in(expression: str) -> set[str]:
    grouped = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    selected = re.findall(r"\{([^}]*)\}", expression)
    return {name.strip() for one in grouped for name in one.split(",")} | {
        name for one in selected for name in re.findall(r"(\w+)\s*[=!]~?", one)
    }


def test_names_are_found_in_queries():
    query = 'sum by (le, model) (rate(a_bucket{status=~"5.."}[5m])) / max(b_total) > 2 and up == 1'
    assert metrics_in(query) == {"a_bucket", "b_total", "up"}
    assert labels_in(query) == {"le", "model", "status"}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_each_query_asks_for_what_the_gateway_exports(query, exported):
    names = metrics_in(query)
    assert names
    assert names <= set(exported), names - set(exported)
    assert labels_in(query) <= set().union(*(exported[name] for name in names))


def test_the_dashboard_uses_the_data_source_that_is_provisioned():
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    used = {panel["datasource"]["uid"] for panel in PANELS}
    assert used == {source["uid"]}
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/inhouse.yml").read_text())["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in composed["services"]["grafana"]["volumes"]


def test_panels_do_not_overlap_and_have_names_of_their_own():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]
    assert len(set(places)) == len(places)
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)


def test_every_alert_says_what_is_wrong_and_what_to_look_at():
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]


def test_prometheus_reads_the_gateway_with_the_key_that_compose_gives_it():
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (secret,) = composed["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert job["static_configs"] == [{"targets": ["gateway:8000"]}]
    assert config["rule_files"] == ["rules.yml"]
    assert job["job_name"] == "inhouse"
