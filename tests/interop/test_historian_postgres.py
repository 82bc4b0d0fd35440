"""The PostgreSQL historian against real servers: what it stores, what survives kills and lost answers, and that the
same values give the same answers as from SQLite and from TimescaleDB (a build of it in WebAssembly)."""
import contextlib
import json
import math
import os
import pathlib
import random
import socket
import subprocess
import threading
import time

import pytest

from support.historian_probe import (AVG, BOOL, DAY, DOUBLE, HOUR, INT, LAST, LTTB, MINMAX, MINUTE, NONE, RAW, SEC, STRING, T0, TWA,
                                     UINT, Probe, batch, point, probe)
from support.postgres import Postgres, program
from support.process import Processes, free_port, port_is_open, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pg")
    running = Processes(directory)
    yield Postgres(running, directory).start()
    running.stop_all()


@pytest.fixture
def database(server, request):
    """An empty database; its name is that of the test."""
    name = "t_" + "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[:50]
    server.sql(f"DROP DATABASE IF EXISTS {name}")
    url = server.new_database(name)
    server.database = name
    return url


@pytest.fixture(scope="module")
def timescale_start(tmp_path_factory):
    modules = subprocess.run([ROOT / "tools/node-peers"], capture_output=True, text=True, check=True).stdout.strip()
    running = Processes(tmp_path_factory.mktemp("ts"))

    def start(*arguments: str) -> str:
        port = free_port()
        process = running.start("timescale", "node", ROOT / "tests/interop/timescale_server.mjs", port, *arguments,
                                env={"NODE_PATH": modules})
        wait_until(lambda: port_is_open(port) or not process.is_running(), 120, "TimescaleDB listening")
        assert process.is_running(), process.text()
        return f"postgres://postgres@127.0.0.1:{port}/postgres"

    yield start
    running.stop_all()


# --- the same answers everywhere ---


def recording(seed: int = 11) -> list[list[str]]:
    """Batches of three days: late, double, out of order; texts, flags, large integers, other types, bad qualities."""
    rng = random.Random(seed)
    points: list[tuple[int, str]] = []

    def add(topic, t, kind, value, quality=192, series_kind=None):
        points.append((t, point(topic, t, kind, value, quality, series_kind)))

    for i in range(3000):  # a walk with holes and bad stretches
        t = T0 + i * 37 * SEC + rng.randrange(1000) * 1000
        if i % 97 < 3:
            add("r/walk", t, NONE, 0, rng.choice([0, 8, 24]), DOUBLE)
        elif i % 400 > 20:
            add("r/walk", t, DOUBLE, rng.uniform(-5, 5) + i / 100, 64 if i % 50 == 7 else 192)
    for i in range(600):
        t = T0 + i * 7 * MINUTE
        add("r/flag", t, BOOL, i % 3 == 0)
        add("r/text", t, STRING, rng.choice(["läuft", "steht", "", "Störung 7", "x" * 300]))
        add("r/count", t, INT, (1 << 53) + i if i % 5 == 0 else -i)
        add("r/total", t, UINT, (1 << 64) - 1 - i if i % 7 == 0 else i)
        add("r/mixed", t, *[(DOUBLE, 0.1 * i), (INT, i), (STRING, "n/a"), (BOOL, 1), (NONE, 0)][i % 5],
            series_kind=DOUBLE)
        add("r/vendor", t, DOUBLE, -0.0 if i % 2 else 5e-324, 0xC0 | (i * 256 & 0xFF00))
    points.sort()
    lines = [line for _, line in points]
    for _ in range(300):  # late ones, within hours
        i = rng.randrange(len(lines) - 200)
        lines.insert(i + rng.randrange(200), lines.pop(i))
    for _ in range(200):  # double ones, with another value: the first one stored stays
        i = rng.randrange(len(lines) - 500)
        words = lines[i].split(" ")
        if words[6] == str(DOUBLE):
            lines.insert(i + 1 + rng.randrange(400), " ".join(words[:-1] + ["0x1.8p+9"]))
    return [lines[i:i + 250] for i in range(0, len(lines), 250)]


TOPICS = ["r/walk", "r/flag", "r/text", "r/count", "r/total", "r/mixed", "r/vendor"]


def replay(p: Probe, batches: list[list[str]]) -> None:
    """Commits as time goes on, with upkeep in between; a tenth of the batches comes twice."""
    for seq, lines in enumerate(batches, 1):
        newest = max(int(line.split(" ")[4]) for line in lines)
        p.send(f"now {newest + 5 * SEC}")
        p.good(*batch(seq, *lines), "commit")
        if seq % 10 == 0:
            assert p.good(*batch(seq, *lines), "commit")["duplicate_batches"] == 1
        if seq % 7 == 0:
            p.good("seal")
    p.good(f"now {T0 + 4 * DAY}", "seal")


def questions() -> list[str]:
    spans = [(T0, T0 + 3 * DAY), (T0 + 5 * HOUR + 1234567, T0 + 31 * HOUR + 7654321), (T0 + 9 * MINUTE, T0 + 12 * MINUTE)]
    return [f"query {topic} {fn} {a} {b} {points}" for topic in TOPICS for a, b in spans
            for fn, points in ((RAW, 4294967295), (RAW, 17), (MINMAX, 100), (MINMAX, 900), (LAST, 50), (LTTB, 60),
                               (AVG, 40), (TWA, 40))]


def same(a, b, is_mean: bool) -> bool:
    if not is_mean:
        return a == b
    if len(a["rows"]) != len(b["rows"]):
        return False
    for x, y in zip(a["rows"], b["rows"]):
        if x[:3] != y[:3] or (x[2] == STRING and x != y):
            return False
        if x[2] == DOUBLE and not math.isclose(float.fromhex(x[3]), float.fromhex(y[3]), rel_tol=1e-9, abs_tol=1e-9):
            return False
    return True


def backends(kind: str, server, database, timescale_start, tmp_path):
    if kind == "postgres":
        return database, ()
    if kind == "postgres-insert":
        return database.replace("postgres://", "postgresql://"), ("insert",)
    return timescale_start(*(["apache"] if kind == "timescale-apache" else [])), ()


@pytest.mark.parametrize("kind", ["postgres", "postgres-insert", "timescale", "timescale-apache"])
def test_same_answers_as_sqlite(kind, build_dir, server, database, timescale_start, tmp_path):
    url, options = backends(kind, server, database, timescale_start, tmp_path)
    batches = recording()
    with probe(build_dir, f"sqlite:{tmp_path}/lite") as lite, probe(build_dir, url, *options) as pg:
        for p in (lite, pg):
            replay(p, batches)
        assert pg.good("stats")["backend"] == kind.removesuffix("-insert")
        for key in ("series", "points", "duplicate_points", "quarantined", "first_us", "last_us"):
            assert pg.good("stats")[key] == lite.good("stats")[key], key
        for question in ("ledger", "series"):
            assert pg.good(question) == lite.good(question)
        for question in questions():
            fn = int(question.split(" ")[2])
            a, b = lite.ask(question), pg.ask(question)
            for answer in (a, b):  # how much was read may differ, what is told may not
                answer.pop("raw", None), answer.pop("resolution", None)
            assert same(a, b, fn in (AVG, TWA)), question
        for topic in TOPICS:
            for t in (T0, T0 + 1, T0 + DAY + 77, T0 + 3 * DAY):
                question = f"before {topic} {t}"
                assert pg.good(question) == lite.good(question), question


# --- rollups ---


def number(row) -> float | None:
    _, quality, kind, value = row
    if quality & 0xC0 == 0 or kind in (NONE, STRING):
        return None
    return float.fromhex(value) if kind in (DOUBLE, BOOL) else float(value)


def brute(rows: list, start: int, width: int) -> dict:
    """A rollup from the points themselves."""
    numbers = [(r[0], number(r), r[1]) for r in rows if number(r) is not None]
    bad = [r for r in rows if r[1] & 0xC0 == 0 or r[2] == NONE]
    area = area_us = 0
    for r, after in zip(rows, rows[1:] + [[start + width]]):
        if number(r) is not None:
            area += number(r) * (after[0] - r[0])
            area_us += after[0] - r[0]
    low, high = min(numbers, key=lambda x: x[1], default=None), max(numbers, key=lambda x: x[1], default=None)
    return {"n": len(numbers), "bad": len(bad), "sum": sum(x[1] for x in numbers), "area": area, "area_us": area_us,
            "min": [low[0], low[1].hex(), low[2]] if low else None, "max": [high[0], high[1].hex(), high[2]] if high else None,
            "first": rows[0], "last": rows[-1], "first_bad": bad[0][:2] if bad else None}


def check_rollup(rollup: dict, rows: list, width: int) -> None:
    wanted = brute(rows, rollup["t"], width)
    assert (rollup["n"], rollup["bad"], rollup["area_us"]) == (wanted["n"], wanted["bad"], wanted["area_us"])
    assert rollup["first"] == wanted["first"] and rollup["last"] == wanted["last"]
    for key in ("sum", "area"):
        assert math.isclose(rollup[key], wanted[key], rel_tol=1e-9, abs_tol=1e-6), key
    for key in ("min", "max"):
        if wanted[key]:
            got = rollup[key]
            assert [got[0], float.fromhex(got[1]), got[2]] == [wanted[key][0], float.fromhex(wanted[key][1]), wanted[key][2]]
    if wanted["first_bad"]:
        assert rollup["first_bad"] == wanted["first_bad"]


@pytest.mark.parametrize("kind", ["postgres", "timescale"])
def test_rollups_are_what_the_points_give(kind, build_dir, server, database, timescale_start, tmp_path):
    url, _ = backends(kind, server, database, timescale_start, tmp_path)
    with probe(build_dir, url) as pg:
        replay(pg, recording(5))
        for topic in TOPICS:
            raw = pg.good(f"scan {topic} {T0} {T0 + 4 * DAY} 0")["rows"]
            for level, width in ((1, MINUTE), (2, HOUR), (3, DAY)):
                got = pg.good(f"scan {topic} {T0} {T0 + 4 * DAY} {level}")["rows"]
                rollups = [r for r in got if isinstance(r, dict)]
                assert rollups or topic in ("r/text", "r/mixed", "r/total", "r/count"), (topic, level)
                covered = set()
                for rollup in rollups:
                    rows = [r for r in raw if rollup["t"] <= r[0] < rollup["t"] + width]
                    assert rows, rollup
                    check_rollup(rollup, rows, width)
                    covered.add(rollup["t"])
                # what is not in a rollup is there as a point, once
                assert [r for r in got if isinstance(r, list)] == [r for r in raw if r[0] // width * width not in covered]


def test_late_points_reach_the_rollups(build_dir, database):
    with probe(build_dir, database, now=T0) as pg:
        pg.good(f"now {T0 + 2 * HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(0, 3600, 2)]), "commit",
                "seal")
        level1 = f"scan a {T0} {T0 + HOUR} 1"
        assert [r["n"] for r in pg.good(level1)["rows"]] == [30] * 60
        pg.good(*batch(2, point("a", T0 + 61 * SEC, DOUBLE, -9)), "commit")
        mixed = pg.good(level1)["rows"]  # the hour is read as points until it is rolled up again
        assert all(isinstance(r, list) for r in mixed) and len(mixed) == 1801
        pg.good("seal")
        rows = pg.good(level1)["rows"]
        assert [r["n"] for r in rows] == [30] + [31] + [30] * 58
        assert rows[1]["min"][0] == T0 + 61 * SEC and float.fromhex(rows[1]["min"][1]) == -9
        assert pg.good(f"scan a {T0} {T0 + HOUR} 2")["rows"][0]["n"] == 1801


def test_a_scan_ends_when_nobody_wants_more(build_dir, database):
    with probe(build_dir, database) as pg:
        pg.good(*batch(1, *[point("a", T0 + i, DOUBLE, i) for i in range(20000)]), "commit")
        assert len(pg.good(f"scan a {T0} {T0 + DAY} 0 1")["rows"]) == 4000  # one portion
        assert len(pg.good(f"scan a {T0} {T0 + DAY} 0")["rows"]) == 20000  # and the connection is as good as before


# --- identities ---


def test_a_replay_is_not_stored_twice(build_dir, server, database):
    with probe(build_dir, database) as a, probe(build_dir, database) as b:
        first = batch(1, point("a", T0, DOUBLE, 1), point("a", T0 + 1, DOUBLE, 2))
        assert a.good(*first, "commit")["points"] == 2
        for p in (a, b):
            again = p.good(*first, "commit")
            assert (again["points"], again["duplicate_batches"]) == (0, 1)
            assert p.good("acked gw 7 0 1") == {"is_committed": True, "from": 1, "to": 1}
        twice = b.good(*batch(2, point("a", T0 + 2, DOUBLE, 1)), *batch(2, point("a", T0 + 2, DOUBLE, 1)),
                       *batch(3, point("a", T0 + 3, DOUBLE, 1)), "commit")
        assert (twice["points"], twice["duplicate_batches"], twice["duplicate_points"]) == (2, 1, 0)
        assert b.good("acked gw 7 0 3") == {"is_committed": True, "from": 2, "to": 3}
        assert a.good("acked gw 7 0 3")["is_committed"] is False  # it was never told
    assert server.value("SELECT count(*) FROM metrics", server.database) == "4"


def test_the_first_value_of_a_time_stays(build_dir, server, database):
    with probe(build_dir, database) as pg:
        pg.good(*batch(1, point("a", T0, DOUBLE, 1), point("a", T0, DOUBLE, 5)), "commit")
        second = pg.good(*batch(2, point("a", T0, DOUBLE, 2), point("a", T0 + 1, DOUBLE, 3)), "commit")
        assert (second["points"], second["duplicate_points"]) == (1, 1)
        third = pg.good(*batch(3, point("a", T0 + 2, DOUBLE, 4)), "commit")
        assert (third["points"], third["duplicate_points"]) == (1, 0)
        rows = pg.good(f"query a {RAW} {T0} {T0 + SEC} 10")["rows"]
        assert [float.fromhex(r[3]) for r in rows] == [1, 3, 4]
        stats = pg.good("stats")
        assert (stats["points"], stats["duplicate_points"]) == (3, 2)


def test_compaction_keeps_the_memory(build_dir, server, database):
    """Single rows of the ledger become stretches and go; what they said is still known, holes included."""
    with probe(build_dir, database) as pg:
        for seq in (1, 2, 3, 7, 8, 20):
            pg.good(*batch(seq, point("a", T0 + seq, DOUBLE, seq)), "commit")
        pg.good(*batch(21), "gap 9 12 40", "commit")
        before = pg.good("ledger")
        assert before == [{"gateway": "gw", "epoch": 7, "lane": 0, "last_seq": 21, "batches": 7, "points": 6,
                           "duplicate_batches": 0, "missing": 10, "gap_points": 40,
                           "gaps": [["FULL", 4, 40]], "quarantined": 0}]
        pg.good("seal")
        server.sql("UPDATE hist.ledger SET counted = counted - interval '6 minutes'", server.database)
        pg.good("seal")
        assert server.value("SELECT count(*) FROM hist.ledger", server.database) == "0"
        assert server.sql("SELECT from_seq, to_seq FROM hist.ledger_range ORDER BY 1", server.database) == [
            ["1", "3"], ["7", "8"], ["20", "21"]]
        assert pg.good("ledger") == before
        for seq in (1, 3, 8, 20):
            assert pg.good(*batch(seq, point("a", T0 + seq, DOUBLE, seq)), "commit")["duplicate_batches"] == 1
        for seq in (4, 5, 6):
            assert pg.good(*batch(seq, point("a", T0 + seq, DOUBLE, seq)), "commit")["points"] == 1
        pg.good("seal")
        assert pg.good("ledger")[0]["missing"] == 7
        assert server.sql("SELECT from_seq, to_seq FROM hist.ledger_range ORDER BY 1", server.database) == [
            ["1", "8"], ["20", "21"]]


def test_threads_store_the_same_batches_once(build_dir, server, database):
    with probe(build_dir, database, now=0) as pg:
        start = int(time.time() * SEC) - DAY
        result = pg.good(f"race 6 gw 7 60 400 100 {start}")
        assert (result["points"], result["duplicate_batches"], result["duplicate_points"]) == (24000, 300, 0)
        assert result["errors"] == 0
        assert pg.good("ledger")[0]["duplicate_batches"] == 300
    assert server.value("SELECT count(*) FROM hist.raw", server.database) == "24000"


def test_many_start_together(build_dir, server, database):
    probes = [Probe(build_dir, database) for _ in range(8)]
    for p in probes:
        p.send("reopen")
    assert [p.answer() for p in probes] == [{"ok": True}] * 8
    for p in probes:
        p.close()
    assert server.value("SELECT count(*) FROM hist.migration", server.database) == "2"


# --- failures ---


def complete(server, series: int, batches: int, points: int, lanes: int, database: str) -> None:
    """An independent look: every point once, none else."""
    rows = server.sql("SELECT count(*), count(DISTINCT (series_id, time)), count(DISTINCT value) FROM hist.raw", database)
    assert rows == [[str(lanes * batches * points)] * 2 + [str(batches * points)]]
    assert server.value("SELECT count(DISTINCT series_id) FROM hist.raw", database) == str(series * lanes)


def test_nothing_is_lost_when_the_server_is_killed(build_dir, tmp_path):
    running = Processes(tmp_path)
    try:
        pg = Postgres(running, tmp_path).start()
        with probe(build_dir, pg.url, now=0) as p:
            start = int(time.time() * SEC) - HOUR
            p.send(f"load 4 gw 7 400 500 100 {start}")
            done = threading.Event()
            result = {}
            threading.Thread(target=lambda: (result.update(p.answer()), done.set()), daemon=True).start()
            rng, kills = random.Random(3), 0
            while not done.wait(rng.uniform(0.1, 0.6)) and kills < 8:
                pg.kill()
                pg.start()
                kills += 1
            assert done.wait(120)
            assert kills >= 3 and result["errors"] > 0
            complete(pg, 100, 400, 500, 4, "postgres")
            assert p.good("stats")["points"] == 4 * 400 * 500
            assert [row["missing"] for row in p.good("ledger")] == [0] * 4
            p.good("seal")
            assert pg.value("SELECT sum(n) FROM hist.m1") == str(4 * 400 * 500)
        pg.stop()
    finally:
        running.stop_all()


class LosesAnswers:
    """A proxy that now and then passes a COMMIT on, and cuts the connection before its answer."""

    def __init__(self, port: int, every: int):
        self.target, self.every, self.commits, self.cuts = port, every, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                cut = threading.Event()
                threading.Thread(target=self._up, args=(client, server, cut), daemon=True).start()
                threading.Thread(target=self._down, args=(client, server, cut), daemon=True).start()

    def _up(self, client, server, cut):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"commit_work" in data:
                    self.commits += 1
                    if self.commits % self.every == 0:
                        cut.set()
                        self.cuts += 1
                server.sendall(data)
                if cut.is_set():
                    time.sleep(0.02)  # the server is done with it
                    break
        for s in (client, server):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def _down(self, client, server, cut):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if not cut.is_set():
                    client.sendall(data)
            client.close()


def test_a_commit_without_an_answer_is_found_in_the_ledger(build_dir, server, database):
    proxy = LosesAnswers(server.port, 5)
    url = database.replace(f":{server.port}/", f":{proxy.port}/") + "?sslmode=disable"
    with probe(build_dir, url, now=0) as p:
        result = p.good(f"load 2 gw 7 60 200 50 {int(time.time() * SEC) - HOUR}")
        assert proxy.cuts >= 10 and result["errors"] >= 10
        assert result["duplicate_batches"] >= 5  # it had been stored, and was recognised
    complete(server, 50, 60, 200, 2, server.database)


def test_the_connection_may_have_died_unnoticed(build_dir, server, database):
    with probe(build_dir, database) as p:
        p.good(*batch(1, point("a", T0, DOUBLE, 1)), "commit")
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nexus-historian'")
        time.sleep(0.2)
        assert p.good(*batch(2, point("a", T0 + 1, DOUBLE, 1)), "commit")["points"] == 1
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nexus-historian'")
        time.sleep(0.2)
        assert len(p.good(f"query a {RAW} {T0} {T0 + SEC} 10")["rows"]) == 2


def test_errors_name_the_server_and_no_secret(build_dir, server, database):
    def why(url, *options):
        p = Probe(build_dir, url, *options)
        answer = p.ask("reopen")
        p.close()
        assert server.password not in json.dumps(answer) and "wrong-secret" not in json.dumps(answer)
        return answer

    refused = why(database.replace(server.password, "wrong-secret"))
    assert refused["error"] == "AUTH" and f"127.0.0.1:{server.port}" in refused["why"]
    missing = why(server.url_of("nowhere"))
    assert missing["error"] == "CONFIG" and "nowhere" in missing["why"]
    nobody = why(f"postgres://nexus:{server.password}@127.0.0.1:{free_port()}/postgres")
    assert nobody["error"] == "OFFLINE"
    garbage = why(f"postgres://nexus:{server.password}%zz@127.0.0.1:x/postgres")
    assert garbage["error"] == "CONFIG"
    unknown = why(f"postgre://nexus:{server.password}@127.0.0.1/postgres")
    assert unknown["error"] == "CONFIG"
    empty = why(database, "reader")
    assert empty["error"] == "NOT_FOUND"
    Probe(build_dir, database).close()
    with probe(build_dir, database):
        pass
    server.sql("INSERT INTO hist.migration(version, name) VALUES(99, 'future')", server.database)
    for options in ((), ("reader",)):
        newer = why(database, *options)
        assert newer["error"] == "UNSUPPORTED" and "99" in newer["why"]


# --- values ---


def test_odd_texts_do_not_stop_a_batch(build_dir, server, database):
    with probe(build_dir, database) as p:
        texts = [b"a\0b", b"\xff\xfe", "ä".encode()[:1], b"", b"x" * 4096, b"\xff" * 4096]
        p.good(*batch(1, *[point("s", T0 + i, STRING, t) for i, t in enumerate(texts)]), "commit")
        rows = p.good(f"query s {RAW} {T0} {T0 + SEC} 10")["rows"]
        bad = "\N{REPLACEMENT CHARACTER}"
        assert [r[3] for r in rows] == [f"a{bad}b", bad * 2, bad, "", "x" * 4096, bad * 1365]


def test_absurd_times_are_put_aside(build_dir, server, database):
    with probe(build_dir, database, "30") as p:
        result = p.good(*batch(1, point("a", T0, DOUBLE, 1), point("a", T0 + 9 * DAY, DOUBLE, 2), point("a", 5, DOUBLE, 3),
                               point("a", T0 - 40 * DAY, DOUBLE, 4)), "commit")
        assert (result["points"], result["quarantined"]) == (1, 3)
        assert p.good("stats")["quarantined"] == 3
    assert server.sql("SELECT topic, value, reason FROM hist.quarantine ORDER BY value", server.database) == [
        ["a", "2", "time lies in the future: check the clock of the device"],
        ["a", "3", "time lies before 1990: check the clock of the device"], ["a", "4", "older than the retention"]]


def test_units_and_new_series_of_two_writers(build_dir, server, database):
    with probe(build_dir, database) as a, probe(build_dir, database) as b:
        a.good(*batch(1, point("u", T0, DOUBLE, 1)), "commit")
        b.good(*batch(2, point("u", T0 + 1, DOUBLE, 1).replace(" bar ", " psi ")), "commit")
        assert a.good("series") == [["u", "psi", DOUBLE]]
    assert server.value("SELECT count(*) FROM hist.series", server.database) == "1"


# --- partitions ---


def test_partitions_are_made_ahead_and_for_old_values(build_dir, server, database):
    name = server.database
    with probe(build_dir, database) as p:
        p.good("maintain")
        days = [row[0] for row in server.sql("SELECT lo FROM hist.partition WHERE parent = 'raw' ORDER BY lo", name)]
        assert days == ["2023-11-16 00:00:00+00", "2023-11-17 00:00:00+00", "2023-11-18 00:00:00+00"]
        p.good(*batch(1, *[point("a", T0 - d * 50 * DAY, DOUBLE, d) for d in range(8)]), "commit")
        assert server.value("SELECT count(*) FROM hist.partition WHERE parent = 'raw'", name) == "11"
        assert len(p.good(f"query a {RAW} {T0 - 400 * DAY} {T0 + DAY} 100")["rows"]) == 8


@pytest.fixture
def plain_database(server, database):
    """The empty database as its owner sees it, who is no superuser."""
    server.sql(f"CREATE ROLE plain LOGIN PASSWORD 'p1ain'; ALTER DATABASE {server.database} OWNER TO plain")
    yield database.replace(f"nexus:{server.password}@", "plain:p1ain@")
    server.sql(f"ALTER DATABASE {server.database} OWNER TO nexus")
    server.sql("REASSIGN OWNED BY plain TO nexus", server.database)
    server.sql("DROP ROLE plain")


def test_a_plain_owner_of_the_database_is_enough(build_dir, plain_database):
    with probe(build_dir, plain_database) as pg:
        assert pg.good(*batch(1, point("a", T0, DOUBLE, 1)), "commit")["points"] == 1
        pg.good("seal")
        assert pg.good("stats")["backend"] == "postgres"


def test_the_width_of_partitions_may_change(build_dir, server, database):
    with probe(build_dir, database + "?chunk_interval=6") as p:
        p.good(*batch(1, point("a", T0 + HOUR, DOUBLE, 1), point("a", T0 + 7 * HOUR, DOUBLE, 1)), "commit")
        bounds = "SELECT lo, hi FROM hist.partition WHERE parent = 'raw' ORDER BY lo"
        assert server.sql(bounds, server.database) == [
            ["2023-11-15 00:00:00+00", "2023-11-15 06:00:00+00"], ["2023-11-15 06:00:00+00", "2023-11-15 12:00:00+00"]]
    server.sql("UPDATE hist.state SET chunk_us = 86400000000", server.database)
    with probe(build_dir, database) as p:
        p.good(*batch(2, point("a", T0 + 13 * HOUR, DOUBLE, 1), point("a", T0 + 25 * HOUR - DAY * 2, DOUBLE, 1)), "commit")
        assert server.sql(bounds, server.database)[-1] == ["2023-11-15 12:00:00+00", "2023-11-16 00:00:00+00"]


def test_retention_drops_partitions_and_keeps_the_books(build_dir, server, database):
    with probe(build_dir, database, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(100)]), "commit")
        p.good(f"now {T0 + 3 * DAY}", *batch(2, *[point("a", T0 + 2 * DAY + i * SEC, DOUBLE, i) for i in range(50)]), "commit", "seal")
    with probe(build_dir, database, "5", now=T0 + 6 * DAY + 3 * HOUR) as p:
        p.good("seal")
        assert len(p.good(f"query a {RAW} {T0} {T0 + 9 * DAY} 1000")["rows"]) == 50
        stats = p.good("stats")
        assert stats["points"] == 50 and stats["first_us"] >= T0 + DAY
        assert p.good(f"scan a {T0} {T0 + DAY} 3")["rows"][0]["n"] == 100  # what it came to stays
        assert p.good("ledger")[0]["points"] == 150
        before = p.good(f"before a {T0 + DAY}")["rows"][0]  # from the day's rollup
        assert before[:3] == [T0 + 99 * SEC, 192, DOUBLE] and float.fromhex(before[3]) == 99


def test_a_partition_let_go_but_not_dropped_is_found_again(build_dir, server, database):
    name = server.database
    with probe(build_dir, database, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(100)]), "commit", "seal")
    server.sql("ALTER TABLE hist.raw DETACH PARTITION hist.raw_20231115_000000", name)
    server.sql("CREATE TABLE hist.raw_of_mine(a int)", name)
    with probe(build_dir, database, "5", now=T0 + 7 * DAY) as p:
        p.good("maintain")
        assert server.value("SELECT to_regclass('hist.raw_20231115_000000') IS NULL", name) == "t"
        assert server.value("SELECT to_regclass('hist.raw_of_mine') IS NULL", name) == "f"
        assert server.value("SELECT dropped_points FROM hist.total", name) == "100"


def test_a_partition_let_go_comes_back_when_it_is_wanted(build_dir, server, database):
    """Of values and of rollups, younger than the retention: with all that it holds."""
    name = server.database
    with probe(build_dir, database, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(100)]), "commit", "seal")
    for table in ("raw", "m1"):
        held = f"SELECT tableoid::regclass FROM hist.{table} LIMIT 1"
        server.sql(f"ALTER TABLE hist.{table} DETACH PARTITION {server.value(held, name)}", name)
    with probe(build_dir, database, now=T0 + HOUR) as p:
        p.good(*batch(2, point("a", T0 + 200 * SEC, DOUBLE, 200)), "commit", "seal")
        assert len(p.good(f"query a {RAW} {T0} {T0 + HOUR} 1000")["rows"]) == 101


def chunks_are_dropped(build_dir, url: str, points: int) -> None:
    Sql(url)("ANALYZE hist.raw")
    with probe(build_dir, url, "5", now=T0 + 7 * DAY) as p:
        p.good("seal")
        assert p.good("stats")["points"] == 0
        assert p.good(f"query a {RAW} {T0} {T0 + DAY} 10")["rows"] == []
    assert Sql(url)("SELECT dropped_points FROM hist.total") == str(points)


@pytest.mark.parametrize("count", ["quick", "slow-count"])
def test_retention_drops_chunks_of_timescale(count, build_dir, timescale_start):
    """Also where they take too long to count."""
    url = timescale_start(count)
    with probe(build_dir, url, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(500)]), "commit", "seal")
    chunks_are_dropped(build_dir, url, 500)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_partition_that_takes_too_long_to_count_goes_all_the_same(is_known, build_dir, server, plain_database):
    """The server ends the statement, as it does after its time limit: then the books get about how many they were."""
    name = server.database
    with probe(build_dir, plain_database, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(3000)]), "commit", "seal")
    old = "hist.raw_20231115_000000"
    if is_known:
        server.sql(f"ANALYZE {old}", name)
    server.sql(f"ALTER TABLE {old} ENABLE ROW LEVEL SECURITY; ALTER TABLE {old} FORCE ROW LEVEL SECURITY;"
               f"CREATE POLICY slow ON {old} USING (pg_sleep(60) IS NOT NULL)", name)
    cancel = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE " \
             "'SELECT count(*) FROM hist.raw_%' AND wait_event = 'PgSleep'"
    with probe(build_dir, plain_database, "5", now=T0 + 7 * DAY) as p:
        p.send("maintain")
        wait_until(lambda: server.sql(cancel), 20, "the partition being counted")
        assert p.answer() == {"ok": True}
    assert server.value(f"SELECT to_regclass('{old}') IS NULL", name) == "t"
    dropped = int(server.value("SELECT dropped_points FROM hist.total", name))
    assert dropped == 3000 if is_known else 1500 < dropped < 6000


def test_the_apache_licence_is_enough(build_dir, timescale_start):
    """What only the other licence has is really refused, and nothing of it is missed."""
    url = timescale_start("apache", "slow-count")
    sql = Sql(url)
    with probe(build_dir, url, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(500)]), "commit", "seal")
        assert p.good("stats")["backend"] == "timescale-apache"
    for refused in ("ALTER TABLE hist.raw SET (timescaledb.compress)",
                    "SELECT public.add_compression_policy('hist.raw', INTERVAL '1 day')",
                    "SELECT count(public.compress_chunk(c)) FROM public.show_chunks('hist.raw') c"):
        with pytest.raises(AssertionError, match="not supported"):
            sql(refused)
    assert sql("SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'") == "0"
    with probe(build_dir, url, now=T0 + 2 * HOUR) as p:
        late = p.good(*batch(2, point("a", T0 + 7, DOUBLE, -1), point("a", T0 + 8 * SEC, DOUBLE, 1)), "commit")
        assert (late["points"], late["duplicate_points"]) == (1, 1)
        assert len(p.good(f"query a {RAW} {T0} {T0 + HOUR} 1000")["rows"]) == 501
    chunks_are_dropped(build_dir, url, 501)


def test_what_cannot_be_dropped_is_counted_once_and_rollups_go_on(build_dir, server, database):
    name = server.database
    with probe(build_dir, database, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(100)]), "commit", "seal")
    server.sql(f"ALTER ROLE nexus IN DATABASE {name} SET idle_in_transaction_session_timeout = 0")
    dump = subprocess.Popen([program("psql"), "-X", "-q", database], stdin=subprocess.PIPE, text=True)
    dump.stdin.write("BEGIN; SELECT count(*) FROM hist.raw;\n")
    dump.stdin.flush()
    held = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND state = 'idle in transaction'"
    wait_until(lambda: server.value(held) == "1", 20, "the table being held")
    try:
        with probe(build_dir, database, "5", now=T0 + 7 * DAY) as p:
            assert "error" in p.ask("maintain")  # after lock_timeout
            assert server.value("SELECT dropped_points FROM hist.total", name) == "0"
            assert int(server.value("SELECT extract(epoch FROM rolled_m)::int8 FROM hist.state", name)) * SEC > T0 + HOUR
            dump.stdin.close()
            assert dump.wait(20) == 0
            p.good("seal")
            assert server.value("SELECT dropped_points FROM hist.total", name) == "100"
            assert p.good("stats")["points"] == 0
    finally:
        dump.kill()


def test_old_chunks_of_timescale_are_compressed_and_still_written(build_dir, timescale_start):
    """The policy is there; a chunk that it would compress takes late values, and recognises double ones."""
    url = timescale_start()
    with probe(build_dir, url, now=T0) as p:
        p.good(f"now {T0 + HOUR}", *batch(1, *[point("a", T0 + i * SEC, DOUBLE, i) for i in range(500)]), "commit", "seal")
    sql = Sql(url)
    assert sql("SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'") == "2"
    assert sql("SELECT count(public.compress_chunk(c)) FROM public.show_chunks('hist.raw') c") == "1"
    with probe(build_dir, url, now=T0 + 2 * HOUR) as p:
        late = p.good(*batch(2, point("a", T0 + 7, DOUBLE, -1), point("a", T0 + 8 * SEC, DOUBLE, 1)), "commit")
        assert (late["points"], late["duplicate_points"]) == (1, 1)
        rows = p.good(f"query a {RAW} {T0} {T0 + HOUR} 1000")["rows"]
        assert len(rows) == 501 and rows[1][0] == T0 + 7 and float.fromhex(rows[1][3]) == -1


class Sql:
    """One question, one value, through psql; the server serves one connection at a time."""

    def __init__(self, url: str):
        self.url = url

    def __call__(self, text: str) -> str:
        done = subprocess.run([program("psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url, "-c", text],
                              capture_output=True, text=True, env={**os.environ, "PGSSLMODE": "disable"})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
