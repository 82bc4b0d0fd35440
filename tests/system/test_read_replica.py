"""History read from a standby of the database: what is written shows there, and nothing is missed when it is away."""
import os
import signal
import subprocess
import threading

import pytest

from support.foreign import TOPIC, publish, stored
from support.platform import Api
from support.postgres import Postgres
from support.process import free_port, port_is_open, wait_until

QUESTION = {"tags": TOPIC, "from": "2020-01-01T00:00:00Z"}


@pytest.fixture
def primary(processes, tmp_path):
    server = Postgres(processes, tmp_path).start()
    server.sql("CREATE DATABASE plant")
    return server


@pytest.fixture
def standby(processes, tmp_path, primary):
    """It does not wait for queries when it has something to replay."""
    return Postgres(processes, tmp_path, primary, max_standby_streaming_delay="0").start()


@pytest.fixture
def api(platform, primary, standby, tmp_path):
    """Ingestion and core; the core reads from the standby."""
    secret = tmp_path / "db-password"
    secret.write_text(primary.password)
    secret.chmod(0o600)
    for role in ("ingest", "core"):
        platform.extra[role] = [f"historian.url=postgres://nexus@127.0.0.1:{primary.port}/plant",
                                f"database.password_file={secret}"]
    platform.extra["core"] += [f"historian.read_url=postgres://nexus@127.0.0.1:{standby.port}/plant"]
    platform.write_devices([])
    platform.start("ingest", "core")
    return platform.log_in()


def count(server) -> int:
    if server.value("SELECT to_regclass('hist.raw') IS NULL", "plant") == "t":
        return 0
    return int(server.value("SELECT count(*) FROM hist.raw", "plant"))


def historian_state(api) -> dict:
    status = api.get("/api/v1/system/status")
    return next(c for c in status["components"] if c["name"] == "historian")


def reads_from_standby(api) -> bool:
    return historian_state(api) == {"name": "historian", "ok": True}


def test_history_is_read_from_the_standby(platform, api, primary, standby, build_dir):
    publish(platform, range(20))
    wait_until(lambda: count(standby) == 20, 30, "20 values on the standby")
    assert stored(api) == list(range(20))
    wait_until(lambda: reads_from_standby(api), 30, "the standby, which lacked the tables at first")
    standby.sql("SELECT pg_wal_replay_pause()")
    publish(platform, range(20, 25))
    wait_until(lambda: count(primary) == 25, 30, "25 values on the primary")
    assert stored(api) == list(range(20))
    # The books are of now, not of what was replayed.
    assert api.get("/api/v1/system/ledger")["totals"]["points"] == 25
    standby.sql("SELECT pg_wal_replay_resume()")
    wait_until(lambda: stored(api) == list(range(25)), 30, "25 values through the API")
    for fn in ("minmax", "avg", "last", "twa", "lttb"):
        for points in (5, 1000):
            series = api.get("/api/v1/history:query", params={**QUESTION, "fn": fn, "max_points": points})["series"][0]
            assert series["v"] and not series.get("error"), (fn, points)
    for verb in ("stats", "verify"):  # reading is all they need, too
        done = subprocess.run([build_dir / "nexus", "historian", verb, "--url", standby.url_of("plant")], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_up_takes_it_from_its_settings(processes, build_dir, primary, standby, tmp_path):
    config, data, port = tmp_path / "config", tmp_path / "data", free_port()
    config.mkdir()
    (config / "nexus.yaml").write_text(
        f"historian:\n  url: {primary.url_of('plant')}\n  read_url: {standby.url_of('plant')}\n")
    up = processes.start("up", build_dir / "nexus", "up", "--config", config, "--data", data, "--port", port)
    wait_until(lambda: port_is_open(port) or not up.is_running(), 60, "the core listening")
    assert up.is_running(), up.text()
    api = Api(f"http://127.0.0.1:{port}")
    api.set_up((data / "core" / "setup-code").read_text().strip())
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nexus-historian'"
    wait_until(lambda: historian_state(api)["ok"] and standby.value(sessions) != "0", 30, "the core at the standby")
    assert primary.value(sessions) != "0" and standby.password not in up.text()
    assert up.stop() == 0


def test_either_server_may_go_away(platform, api, primary, standby):
    publish(platform, range(20))
    wait_until(lambda: count(standby) == 20 and stored(api) == list(range(20)), 30, "20 values")
    wait_until(lambda: reads_from_standby(api), 30, "the standby")
    stored(api)  # there is a connection to the standby
    standby.kill()
    state = historian_state(api)
    assert state["ok"] and "standby is away" in state["detail"] and f"127.0.0.1:{standby.port}/plant" in state["detail"]
    assert stored(api) == list(range(20))  # from the primary
    publish(platform, range(20, 25))
    wait_until(lambda: stored(api) == list(range(25)), 30, "25 values without a standby")
    standby.start()
    wait_until(lambda: reads_from_standby(api), 60, "the standby again", every=0.2)
    wait_until(lambda: count(standby) == 25, 30, "what it missed")
    primary.stop()
    assert stored(api) == list(range(25))
    assert api.request("GET", "/api/v1/system/ledger").status_code == 503
    standby.kill()
    question = {**QUESTION, "fn": "raw", "format": "ndjson"}
    reply = api.request("GET", "/api/v1/history:query", params=question)
    assert reply.status_code == 503 and f"127.0.0.1:{primary.port}/plant" in reply.json()["detail"]
    assert not historian_state(api)["ok"]


def test_a_query_that_the_standby_ends_is_answered_whole(platform, api, primary, standby):
    publish(platform, range(1))
    wait_until(lambda: count(standby) == 1 and stored(api) == [0], 30, "a value")
    wait_until(lambda: reads_from_standby(api), 30, "the standby")
    total = 300_000
    primary.sql(f"INSERT INTO hist.raw(series_id, quality, time, value) SELECT series_id, 192, now() - i * interval '1 us', i"
                f" FROM hist.series, generate_series(1, {total - 1}) i", "plant")
    wait_until(lambda: count(standby) == total, 30, "them on the standby")
    core, answers = platform.roles["core"], []

    def ask():
        answers.append(api.request("GET", "/api/v1/history:query", params={**QUESTION, "fn": "raw", "format": "ndjson"}).text)

    def is_reading() -> bool:
        return standby.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nexus-historian'"
                             " AND backend_xmin IS NOT NULL") != "0"

    def ends_a_query() -> bool:
        """Stops the core while it reads, so that it cannot end before what the standby has to replay comes."""
        client = threading.Thread(target=ask)
        client.start()
        wait_until(lambda: is_reading() or not client.is_alive(), 20, "the query", every=0)
        os.kill(core.pid, signal.SIGSTOP)
        try:
            if not is_reading():
                return False
            primary.sql("BEGIN; LOCK TABLE hist.raw IN ACCESS EXCLUSIVE MODE; COMMIT", "plant")
            wait_until(lambda: not is_reading(), 20, "the query being ended")
            return True
        finally:
            os.kill(core.pid, signal.SIGCONT)
            client.join(60)

    wait_until(ends_a_query, 60, "a query that is caught while it runs")
    for answer in answers:
        assert len(answer.splitlines()) == len(set(answer.splitlines())) == total
    assert "conflict with recovery" in core.text() and "max_standby_streaming_delay" in core.text()


def test_a_standby_of_no_server_is_refused(build_dir, platform, tmp_path):
    platform.write_devices([])
    platform.extra["core"] = ["historian.read_url=postgres://nexus@127.0.0.1:1/plant"]
    done = subprocess.run([build_dir / "nexus", "core", *platform.sets("core")], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "historian.read_url" in said and f"sqlite:{platform.history}" in said and "set historian.url" in said
