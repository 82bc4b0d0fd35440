"""The platform on PostgreSQL as people set it up: database.* settings, the profile standard, and what they are told."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
import requests

from support.certificates import Authority
from support.foreign import publish, stored
from support.platform import Api
from support.postgres import Postgres
from support.process import free_port, port_is_open, wait_until


@pytest.fixture
def postgres(processes, tmp_path):
    server = Postgres(processes, tmp_path).start()
    server.sql("CREATE DATABASE plant")
    return server


def settings(server, directory) -> list[str]:
    secret = directory / "db-password"
    secret.write_text(server.password + "\n")
    secret.chmod(0o600)
    return ["database.host=127.0.0.1", f"database.port={server.port}", "database.database=plant", "database.user=nexus",
            f"database.password_file={secret}"]


def test_values_go_through_the_database_to_the_api(platform, postgres, tmp_path):
    for role in ("ingest", "core"):
        platform.extra[role] = ["historian.url=", *settings(postgres, tmp_path)]
    platform.extra["core"] += ["database.pool_size=2", "database.max_idle_time=1s"]
    platform.write_devices([])
    platform.start("ingest", "core")
    api = platform.log_in()
    publish(platform, range(20))
    wait_until(lambda: int(postgres.value("SELECT count(*) FROM metrics", "plant")) == 20, 30, "20 values in the view")
    assert stored(api) == list(range(20))
    # No more readers are kept than database.pool_size.
    for _ in range(6):
        stored(api)
    readers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nexus-historian' AND query LIKE 'ROLLBACK%'"
    assert 1 <= int(postgres.value(readers)) <= 2
    status = platform.status("ingest")
    assert postgres.password not in str(status) and f"127.0.0.1:{postgres.port}/plant" in status["historian"]["url"]
    for role in platform.roles.values():
        assert postgres.password not in role.text()


def test_both_sides_prove_themselves(platform, postgres, tmp_path):
    """No password at all: the server has a certificate for its name, ingestion and core have one for their user."""
    authority = Authority(tmp_path)
    authority.issue("server", "db", "DNS:localhost")
    authority.issue("client", "nexus")
    postgres.offer_tls(tmp_path / "server.pem")
    postgres.let_in("hostssl plant all all cert", "host postgres all all scram-sha-256")
    wait_until(lambda: postgres.value("SHOW ssl") == "on", 20, "TLS")
    for role in ("ingest", "core"):
        platform.extra[role] = ["historian.url=", "database.host=localhost", f"database.port={postgres.port}",
                                "database.database=plant", f"database.ca_file={tmp_path}/ca.pem",
                                f"database.cert_file={tmp_path}/client.pem", f"database.key_file={tmp_path}/client.key"]
    platform.write_devices([])
    platform.start("ingest", "core")
    api = platform.log_in()
    publish(platform, range(20))
    wait_until(lambda: stored(api) == list(range(20)), 30, "20 values")
    sessions = postgres.sql("SELECT DISTINCT ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                            " WHERE application_name = 'nexus-historian'")
    assert sessions == [["t", "/CN=nexus"]]


def test_up_with_the_profile_standard(processes, build_dir, postgres, tmp_path):
    config, port = tmp_path / "config", free_port()
    config.mkdir()
    lines = [line.removeprefix("database.").replace("=", ": ", 1) for line in settings(postgres, tmp_path)]
    (config / "nexus.yaml").write_text("database:\n" + "".join(f"  {line}\n" for line in lines))
    up = processes.start("up", build_dir / "nexus", "up", "--profile", "standard", "--config", config, "--data",
                         tmp_path / "data", "--port", port)
    wait_until(lambda: port_is_open(port) or not up.is_running(), 60, "the core listening")
    assert up.is_running(), up.text()
    wait_until(lambda: postgres.value("SELECT to_regclass('hist.raw') IS NOT NULL", "plant") == "t", 30, "the tables")
    assert not (tmp_path / "data" / "history").exists()
    assert requests.get(f"http://127.0.0.1:{port}/health/live", timeout=10).status_code == 200
    assert up.stop() == 0


def test_up_refuses_a_profile_against_its_settings(build_dir, tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    (config / "nexus.yaml").write_text("historian:\n  url: sqlite:here\n")
    done = subprocess.run([build_dir / "nexus", "up", "--profile", "standard", "--config", config, "--data",
                           tmp_path / "data", "--port", str(free_port())], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "database.host" in done.stderr and "standard" in done.stderr


def test_ingestion_waits_for_a_database_and_says_so(platform, postgres, tmp_path):
    postgres.stop()
    platform.extra["ingest"] = ["historian.url=", *settings(postgres, tmp_path)]
    platform.start("ingest")
    ready = f"http://127.0.0.1:{platform.ingest_port}/health/ready"
    text = wait_until(lambda: (r := requests.get(ready, timeout=10)).status_code == 503 and r.text, 30, "not ready")
    assert f"127.0.0.1:{postgres.port}/plant" in text
    postgres.start()
    wait_until(lambda: requests.get(ready, timeout=10).status_code == 200, 60, "ready once the database is there")


@pytest.fixture
def open_directory():
    """Where another user may pass: PostgreSQL does not work as root."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="nexus-up-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_the_profile_standard_brings_a_postgres_of_its_own(processes, build_dir, open_directory):
    data, port = open_directory / "data", free_port()
    up = processes.start("up", build_dir / "nexus", "up", "--profile", "standard", "--demo", "--data", data, "--port", port)
    wait_until(lambda: port_is_open(port) or not up.is_running(), 120, "the core listening")
    assert up.is_running(), up.text()
    api = Api(f"http://127.0.0.1:{port}")
    api.set_up((data / "core" / "setup-code").read_text().strip())

    def stored() -> int:
        reply = api.get("/api/v1/system/ledger", (200, 503))  # 503: PostgreSQL is starting
        return reply["totals"]["points"] if "totals" in reply else 0

    wait_until(lambda: stored() > 500, 60, "stored values", every=0.2)
    state = api.get("/api/v1/system/ingest")
    writers = state["historian"]["writers"]
    assert len(writers["items"]) == writers["count"] and sum(w["points"] for w in writers["items"]) > 500
    assert 0 < state["batch_duration"]["p50_s"] <= state["batch_duration"]["p95_s"]
    assert not (data / "history").exists() and (data / "postgres" / "PG_VERSION").exists()
    postmaster = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    before = wait_until(lambda: int((data / "postgres" / "postmaster.pid").read_text().split()[0]) != postmaster
                        and stored(), 60, "another PostgreSQL", every=0.2)
    wait_until(lambda: stored() > before + 500, 60, "stored values after it", every=0.2)
    assert up.stop(60) == 0
    assert re.findall(r'"child":"(\w+)","msg":"child stopped"', up.text())[-1] == "postgres"
    assert not (data / "postgres" / "postmaster.pid").exists()
