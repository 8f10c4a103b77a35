"""`inhouse keys`, `inhouse usage` and `inhouse serve` as a person or a script meets them."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from inhouse.cli.main import _run
from inhouse.core.settings import get_settings
from inhouse.gateway.key_store import KeyStore
from inhouse.gateway.ledger import utc_day
from inhouse.store.database import Database
from inhouse.store.gateway_tables import usage_days


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self):
        return json.loads(self.stdout)


@pytest.fixture
def inhouse(tmp_path, monkeypatch, capsys):
    """Runs the program, in this process, with its data in a folder of the test's own."""
    monkeypatch.setenv("INHOUSE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("INHOUSE_STORE_URL", "")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["inhouse", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        capsys.readouterr()
        code = _run()
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    yield run
    get_settings.cache_clear()


@pytest.fixture
def database(inhouse, tmp_path):
    with closing(Database(f"sqlite:///{tmp_path}/data/inhouse.db")) as opened:
        yield opened


# --- keys -----------------------------------------------------------------------------------------------


def test_a_new_key_is_all_that_stdout_holds_and_is_kept_as_a_hash_only(inhouse, tmp_path):
    done = inhouse("keys", "create", "alice", "--team", "search", "--requests-per-minute", "60")
    assert done.returncode == 0
    key = done.stdout.strip()
    assert key.startswith("ih-")
    assert " " not in key
    assert "shown this once" in done.stderr
    assert key not in done.stderr
    for file in (tmp_path / "data").iterdir():
        assert key.encode() not in file.read_bytes()
    listed = inhouse("keys", "list")
    assert "alice" in listed.stdout
    assert "60 requests per minute" in listed.stdout
    assert key.rsplit("-", 1)[1] not in listed.stdout


def test_keys_as_json_hold_every_limit(inhouse):
    made = inhouse(
        *("keys", "create", "bob", "--role", "admin", "--model", "a", "--model", "b", "--expires", "90d", "--priority"),
        *("5", "--tokens-per-day", "1000", "--krw-per-month", "50,000", "--max-concurrent", "3", "--json"),
    ).json
    (listed,) = inhouse("keys", "list", "--json").json
    assert {name: made[name] for name in listed} == listed
    assert "key" not in listed
    assert (listed["role"], listed["models"], listed["priority"]) == ("admin", ["a", "b"], 5)
    assert listed["budget"]["tokens_per_day"] == 1000
    assert float(listed["budget"]["krw_per_month"]) == 50_000
    assert listed["limits"]["max_concurrent"] == 3
    days = (datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)).total_seconds() / 86400
    assert 89.9 < days < 90.1


def test_without_keys_the_list_says_how_to_make_one(inhouse):
    done = inhouse("keys", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "inhouse keys create" in done.stderr
    assert inhouse("keys", "list", "--json").json == []


def test_rotating_and_revoking_by_a_part_of_the_key(inhouse):
    first = inhouse("keys", "create", "carol").stdout.strip()
    prefix = "-".join(first.split("-")[:2])
    second = inhouse("keys", "rotate", prefix, "--grace", "24h").stdout.strip()
    assert second.startswith("ih-")
    assert second != first
    gone = inhouse("keys", "rotate", prefix)
    assert gone.returncode == 2  # the prefix went with the secret
    assert "No key goes by" in gone.stderr
    done = inhouse("keys", "revoke", second)  # pasted whole: only its beginning is looked at
    assert done.returncode == 0
    assert second.rsplit("-", 1)[1] not in done.stderr
    assert inhouse("keys", "list", "--json").json == []
    (revoked,) = inhouse("keys", "list", "--all", "--json").json
    assert revoked["revoked_at"]
    again = inhouse("keys", "rotate", revoked["id"])
    assert again.returncode == 2
    assert "was revoked" in again.stderr


def test_a_keys_limits_are_replaced_and_what_is_not_given_is_unlimited(inhouse):
    key = inhouse("keys", "create", "erin", "--requests-per-minute", "60").stdout.strip()
    done = inhouse("keys", "limit", key, "--krw-per-month", "50000")
    assert done.returncode == 0
    assert "50,000 krw per month" in done.stderr
    (listed,) = inhouse("keys", "list", "--json").json
    assert listed["limits"]["requests_per_minute"] is None
    assert float(listed["budget"]["krw_per_month"]) == 50000
    assert inhouse("keys", "limit", key, "--json").json["budget"]["krw_per_month"] is None
    assert inhouse("keys", "limit", "ih-nothing0", "--max-concurrent", "1").returncode == 2


def test_teams_are_made_and_changed(inhouse):
    inhouse("keys", "create", "dave", "--team", "search")
    assert inhouse("keys", "team", "search", "--tokens-per-day", "2000000").returncode == 0
    assert "2,000,000 tokens per day" in inhouse("keys", "team").stdout
    (team,) = inhouse("keys", "team", "--json").json
    assert team["budget"]["tokens_per_day"] == 2_000_000
    (team,) = inhouse("keys", "team", "search", "--max-concurrent", "2", "--json").json
    assert team["budget"]["tokens_per_day"] is None  # what is not given has no limit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", " "), "needs a name"),
        (("create", "x", "--expires", "soon"), "'soon' is no time"),
        (("create", "x", "--expires", "2020-01-01"), "expired already"),
        (("create", "x", "--expires", "d"), "no length of time"),
        (("create", "x", "--krw-per-day", "-5"), "no amount of money"),
        (("create", "x", "--krw-per-day", "NaN"), "no amount of money"),
        (("create", "x", "--krw-per-day", "많이"), "no amount of money"),
        (("create", "x", "--role", "king"), "king"),
        (("create", "x", "--requests-per-minute", "0"), "--requests-per-minute"),
        (("create", "x", "--priority", "1000"), "--priority"),
        (("create",), "name"),
        (("revoke", "nobody"), "No key goes by 'nobody'"),
        (("revoke", ""), "No key goes by"),
        (("revoke", "%"), "No key goes by"),
        (("rotate", "ih-nothing"), "No key goes by 'ih-nothing'"),
    ],
)
def test_wrong_input_is_one_clear_error_and_makes_no_key(inhouse, arguments, said):
    done = inhouse("keys", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert inhouse("keys", "list", "--all", "--json").json == []


def test_what_admins_do_stands_in_the_audit_log_and_a_change_there_is_found(inhouse, database):
    key = inhouse("keys", "create", "alice").stdout.strip()
    inhouse("keys", "revoke", "-".join(key.split("-")[:2]))
    events = inhouse("audit", "list", "--json").json
    assert [event["action"] for event in events] == ["key.create", "key.revoke"]
    assert key not in json.dumps(events)
    checked = inhouse("audit", "verify", "--json")
    assert (checked.returncode, checked.json["intact"], checked.json["events"]) == (0, True, 2)
    with database.write() as connection:
        connection.execute(text("UPDATE audit_events SET actor = 'nobody' WHERE seq = 1"))
    checked = inhouse("audit", "verify")
    assert checked.returncode == 1
    assert "content was changed" in checked.stdout


# --- usage ----------------------------------------------------------------------------------------------


@pytest.fixture
def used(inhouse, database):
    """Three requests: two of alice's on two days, one of nobody's."""
    key, _ = KeyStore(database).create("alice", team="search")
    now = datetime.now(UTC).timestamp()
    at = (("a", now, key.id, "search", "big"), ("b", now - 40 * 86400, key.id, "search", "small"))
    with database.write() as connection:
        for name, when, key_id, team, model in (*at, ("c", now, "local", "", "big")):
            connection.execute(
                usage_days.insert().values(
                    day=utc_day(when), key_id=key_id, team=team, model=model if name != "c" else "other",
                    requests=1, errors=0, prompt_tokens=1000, completion_tokens=500, cached_tokens=0,
                    nano_usd=1_500_000_000, micro_krw=2_100_000_000, saved_micro_krw=0, cache_hits=0,
                )
            )  # fmt: skip
    return key


def test_usage_is_summed_as_asked(inhouse, used):
    rows = inhouse("usage", "--by", "key", "--json").json
    assert {row["group"]["key"].split()[0]: row["requests"] for row in rows} == {"alice": 2, "local": 1}
    (row,) = inhouse("usage", "--by", "team", "--team", "search", "--since", "30d", "--json").json
    assert (row["requests"], row["prompt_tokens"], row["krw"], row["usd"]) == (1, 1000, 2100, 1.5)
    assert len(inhouse("usage", "--by", "model", "--json").json) == 3
    (row,) = inhouse("usage", "--key", used.prefix, "--by", "model", "--model", "small", "--json").json
    assert row["group"] == {"model": "small"}
    (row,) = inhouse("usage", "--key", "local", "--by", "month", "--json").json
    assert row["group"]["month"] == utc_day(time.time())[:7]


def test_usage_as_a_table_and_as_csv(inhouse, used):
    table = inhouse("usage", "--by", "key", "--by", "model").stdout
    assert "alice" in table
    assert "2,100" in table
    assert "(none)" in inhouse("usage", "--by", "team").stdout, "no row stands without a name"
    lines = inhouse("usage", "--by", "key", "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("key,requests,errors,cache_hits,prompt_tokens")
    assert len(lines) == 3


def test_no_usage_is_said_so_and_is_an_empty_list_to_programs(inhouse):
    done = inhouse("usage")
    assert (done.returncode, done.stdout) == (0, "")
    assert "No usage" in done.stderr
    assert inhouse("usage", "--json").json == []


@pytest.mark.parametrize(
    "arguments", [("--since", "yesterday"), ("--until", "2026-13-01"), ("--key", "nobody"), ("--by", "colour")]
)
def test_wrong_questions_about_usage(inhouse, arguments):
    done = inhouse("usage", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert arguments[1] in done.stderr


# --- serve ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_a_key_nobody_but_this_machine_is_served(inhouse, host):
    done = inhouse("serve", "--host", host, "--engine", "openai", "--model", "m")
    assert done.returncode == 2
    assert "Without keys the gateway listens on this machine only" in done.stderr
    assert "inhouse keys create" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "config", "said"),
    [
        (("--config", "no.toml"), None, "no.toml is not there"),
        (("--config", "g.toml"), "port = 'many'", "port"),
        (("--config", "g.toml"), "port = [", "cannot be read"),
        (("--config", "g.toml"), "models = [{ name = 'm', replicas = [] }]", "models.0.replicas"),
        (("--config", "g.toml"), "models = [{ name = 'm', replicas = [{ engine = 'openai', urll = 'x' }] }]", "urll"),
        (("--config", "g.toml"), "prices = 'none.toml'", "none.toml"),
        (("--config", "g.toml"), "otlp_endpoint = 'localhost:4317'\nmodels = [{name='m', replicas=[{url='http://h'}]}]",
         "no address of a collector"),
        (("--port", "70000"), None, "--port"),
        (("--engine", "warp"), None, "warp"),
        (("--model", "no-such-model"), None, "no-such-model"),
        (("--workers", "0"), None, "--workers"),
        (("--workers", "2"), None, "need a Redis"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_one_clear_error(inhouse, tmp_path, arguments, config, said):
    if config is not None:
        (tmp_path / "g.toml").write_text(config)
    done = inhouse("serve", *arguments)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def served(folder: Path, *options: str):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "INHOUSE_DATA_DIR": str(folder / "data"), "INHOUSE_STORE_URL": ""}
    command = [Path(sys.executable).with_name("inhouse"), "serve", "--port", str(port), *options]
    server = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if server.poll() is not None or answers(f"{url}/livez"):
                break
            time.sleep(0.1)
        assert server.poll() is None, server.stderr.read()
        yield url, server
    finally:
        if server.poll() is None:
            server.kill()
        server.wait(10)
        server.stderr.close()


def answers(url: str, key: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_gateway_says_where_it_is_takes_new_keys_and_ends_with_ctrl_c(inhouse, tmp_path):
    (tmp_path / "g.toml").write_text('models = [{ name = "m", replicas = [{ url = "http://127.0.0.1:9/v1" }] }]')
    with served(tmp_path, "--config", "g.toml") as (url, server):
        assert answers(f"{url}/v1/models") == 200  # no key yet: this machine may do all
        user = inhouse("keys", "create", "user").stdout.strip()
        admin = inhouse("keys", "create", "admin", "--role", "admin").stdout.strip()
        time.sleep(1)
        assert answers(f"{url}/v1/models") == 401
        assert answers(f"{url}/v1/models", user) == 200
        assert answers(f"{url}/metrics", user) == 403
        assert answers(f"{url}/metrics", admin) == 200
        inhouse("keys", "revoke", "-".join(user.split("-")[:2]))
        time.sleep(1)
        assert answers(f"{url}/v1/models", user) == 401
        taken = inhouse("serve", "--config", "g.toml", "--port", url.rsplit(":", 1)[1])
        assert taken.returncode == 2
        assert "cannot listen" in taken.stderr
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        said = server.stderr.read()
        assert f"Serving on {url}/v1" in said
        assert user not in said
        assert "Traceback" not in said


def test_binding_beyond_this_machine_is_allowed_once_there_is_a_key(inhouse, tmp_path):
    (tmp_path / "g.toml").write_text('models = [{ name = "m", replicas = [{ url = "http://127.0.0.1:9/v1" }] }]')
    inhouse("keys", "create", "someone")
    with served(tmp_path, "--config", "g.toml", "--host", "0.0.0.0") as (url, _):
        assert answers(f"{url}/v1/models") == 401
