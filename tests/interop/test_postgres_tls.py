"""TLS between the historian and a PostgreSQL server: who proves what to whom, and what people are told when it fails."""
import shutil

import pytest

from support.certificates import Authority
from support.historian_probe import DOUBLE, RAW, SEC, T0, Probe, batch, point, probe
from support.postgres import Postgres
from support.process import Processes, wait_until

RULES = ("hostssl certified all all cert", "hostssl plant all all scram-sha-256", "host postgres all all scram-sha-256")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(folder):
    """Its certificate is for localhost and 0.0.0.0, which is not loopback as far as anybody can see."""
    authority = Authority(folder)
    authority.issue("server", "db", "DNS:localhost,IP:0.0.0.0")
    authority.issue("nexus", "nexus")
    authority.issue("somebody", "somebody")
    Authority(folder, "other")
    shutil.copy(folder / "nexus.key", folder / "open.key")
    (folder / "open.key").chmod(0o644)
    running = Processes(folder)
    made = Postgres(running, folder)
    made.offer_tls(folder / "server.pem")
    made.let_in(*RULES)
    made.start()
    for name in ("certified", "plant"):
        made.new_database(name)
    yield made
    running.stop_all()


def url(server, folder, host="localhost", database="plant", **parameters) -> str:
    parameters = {key: str(value).format(folder) for key, value in parameters.items()}
    return (f"postgres://nexus:{server.password}@{host}:{server.port}/{database}?"
            + "&".join(f"{key}={value}" for key, value in parameters.items())).rstrip("?")


FULL = {"sslmode": "verify-full", "sslrootcert": "{}/ca.pem"}
CLIENT = {**FULL, "sslcert": "{}/nexus.pem", "sslkey": "{}/nexus.key"}


@pytest.mark.parametrize("host,database,parameters,env", [
    ("localhost", "plant", FULL, {}),
    ("localhost", "plant", {"sslrootcert": "{}/ca.pem"}, {}),  # who names an authority wants it asked
    ("localhost", "plant", {"sslmode": "verify-full"}, {"SSL_CERT_FILE": "{}/ca.pem"}),  # those of the system
    ("0.0.0.0", "plant", {"sslrootcert": "{}/ca.pem"}, {}),
    ("0.0.0.0", "plant", {}, {"SSL_CERT_FILE": "{}/ca.pem"}),
    ("localhost", "certified", CLIENT, {}),
])
def test_the_server_proves_itself(host, database, parameters, env, build_dir, server, folder):
    env = {key: value.format(folder) for key, value in env.items()}
    p = Probe(build_dir, url(server, folder, host, database, **parameters), env={"HOME": str(folder), **env})
    assert p.good("now 0", "reopen", *batch(1, point("a", T0, DOUBLE, 1)), "commit")["duplicate_batches"] in (0, 1)
    used = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'nexus-historian'"
    assert server.sql(used) == [["t"]]
    p.close()
    wait_until(lambda: not server.sql(used), 20, "the connection being closed")


@pytest.mark.parametrize("host,database,parameters,error,words", [
    ("localhost", "plant", {**FULL, "sslrootcert": "{}/other.pem"}, "TLS", ["verify failed", "database.ca_file"]),
    ("localhost", "plant", {**FULL, "sslrootcert": "{}/nowhere.pem"}, "TLS", ["nowhere.pem", "database.ca_file"]),
    ("127.0.0.1", "plant", FULL, "TLS", ["does not match host name", "database.host"]),
    ("localhost", "plant", {"sslmode": "disable"}, "AUTH", ["no encryption", "database.sslmode: verify-full"]),
    ("localhost", "certified", FULL, "AUTH", ["client certificate", "database.cert_file"]),
    ("localhost", "certified", {**FULL, "sslcert": "{}/somebody.pem", "sslkey": "{}/somebody.key"}, "AUTH",
     ["certificate authentication failed", "database.cert_file is for another user"]),
    ("localhost", "certified", {**CLIENT, "sslkey": "{}/open.key"}, "TLS", ["open.key", "database.key_file"]),
    # On another machine it must prove itself without anybody saying so: its authority is not one of the system.
    ("0.0.0.0", "plant", {}, "TLS", ["verify failed", "database.ca_file"]),
    ("0.0.0.0", "postgres", {}, "TLS", ["verify failed", "database.ca_file"]),
])
def test_a_refusal_names_the_place_and_the_remedy(host, database, parameters, error, words, build_dir, server, folder):
    p = Probe(build_dir, url(server, folder, host, database, **parameters), env={"HOME": str(folder)})
    answer = p.ask("reopen")
    p.close()
    assert answer["error"] == error and server.password not in answer["why"], answer
    for word in [f"{host}:{server.port}/{database}", *words]:
        assert word in answer["why"], answer


def test_a_server_without_tls(build_dir, server, folder):
    """On this machine that is fine unless TLS is demanded; elsewhere it has to be said."""
    server.set(ssl="off")
    wait_until(lambda: server.value("SHOW ssl") == "off", 20, "no TLS")
    try:
        for host, parameters in (("localhost", FULL), ("0.0.0.0", {}), ("localhost,0.0.0.0", {})):
            p = Probe(build_dir, url(server, folder, host, "postgres", **parameters), env={"HOME": str(folder)})
            answer = p.ask("reopen")
            p.close()
            assert answer["error"] == "TLS"
            assert "does not support SSL" in answer["why"] and "database.sslmode: disable" in answer["why"]
        for host, parameters in (("localhost", {}), ("127.0.0.1", {}), ("0.0.0.0", {"sslmode": "disable"})):
            with probe(build_dir, url(server, folder, host, "postgres", **parameters)) as p:
                p.good(*batch(1, point("a", T0, DOUBLE, 1)), "commit")
                assert len(p.good(f"query a {RAW} {T0} {T0 + SEC} 10")["rows"]) == 1
    finally:
        server.set(ssl="on")
        wait_until(lambda: server.value("SHOW ssl") == "on", 20, "TLS")
