"""History as files: every format of /history:query against what was stored, with the readers of others where there are
any (DuckDB, pyarrow), and what happens when a client is slow, goes away, or the store is damaged."""
import json
import os
import socket
import sqlite3
import subprocess
import threading
import time

import duckdb
import paho.mqtt.publish
import pyarrow.parquet
import pytest
import requests

from support.history import (FORMATS, FROM_US, binary_blocks, binary_rows, csv_lines, expected, fill, mark, read,
                             read_csv)
from support.platform import Platform
from support.process import wait_until

QUERY = "/api/v1/history:query"
ALL = {"from": "2026-01-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}


@pytest.fixture
def core(platform):
    """The core alone: what it reads is written by a program."""
    platform.write_devices([])
    platform.start("core")
    platform.log_in()
    return platform


def ask(platform, form: str, topics: list[str], expect=200, **more) -> requests.Response:
    query = {"tags": ",".join(topics), "format": form, **ALL, **more}
    return platform.api.request("GET", QUERY, expect, params={k: v for k, v in query.items() if v is not None})


# --- the same rows in every format

def test_every_format_has_every_row_and_every_type(core, build_dir, tmp_path):
    topics = fill(build_dir, core.history, "mixed", 2, 24_000)
    wanted = expected("mixed", topics, 24_000)
    for form in FORMATS:
        body = ask(core, form, topics, fn="raw", max_points=100_000 if form == "json" else None).content
        assert read(form, body, tmp_path) == wanted, form


@pytest.mark.parametrize("fn,fill_word", [("minmax", None), ("avg", "linear"), ("twa", "null"), ("last", "previous"),
                                          ("lttb", None)])
def test_reductions_are_the_same_in_every_format(core, build_dir, tmp_path, fn, fill_word):
    topics = fill(build_dir, core.history, "numbers", 2, 5_000)
    answers = [read(form, ask(core, form, topics, fn=fn, fill=fill_word, max_points=700, to="2026-01-01T01:00:00Z").content,
                    tmp_path) for form in FORMATS]
    assert 500 < len(answers[0]) <= 4 * 2 * 700
    for form, rows in zip(FORMATS[1:], answers[1:]):
        assert rows == answers[0], form


def test_nothing_stored_is_an_empty_document(core, build_dir, tmp_path):
    fill(build_dir, core.history, "numbers", 1, 10)
    for form in FORMATS:
        assert read(form, ask(core, form, ["never/stored"], fn="raw").content, tmp_path) == [], form


def test_max_points(core, build_dir, tmp_path):
    topics = fill(build_dir, core.history, "numbers", 2, 3_000)
    for form in FORMATS:
        wanted = 1_000 if form == "json" else 3_000
        assert len(read(form, ask(core, form, topics, fn="raw").content, tmp_path)) == 2 * wanted, form
        rows = read(form, ask(core, form, topics, fn="raw", max_points=7).content, tmp_path)
        assert rows == [r for t in topics for r in expected("numbers", topics, 3_000) if r[0] == t and
                        r[1] < FROM_US + 7 * 1_000_003], form
    meta = [json.loads(b) for kind, b in binary_blocks(ask(core, "binary", topics, fn="raw", max_points=7).content) if kind == 3]
    assert [m["truncated"] for m in meta] == [True, True] and [m["raw_count"] for m in meta] == [7, 7]


def test_what_was_published_is_exported(platform, tmp_path):
    """The whole way: broker, ingestion, historian, API."""
    sent = [(1.5, "good"), (True, "good"), (2**63 - 1, "good"), ("läuft", "uncertain"), (None, "bad"), ("", "good")]
    platform.write_devices([])
    platform.start("ingest", "core")
    platform.log_in()
    start = (int(time.time()) - 60) * 1000
    for i, (value, quality) in enumerate(sent):
        message = json.dumps({"value": value, "quality": quality, "unit": "bar", "timestamp": start + i})
        paho.mqtt.publish.single("uns/line/state", message, qos=1, port=platform.broker.port)
    wanted = [("uns/line/state", (start + i) * 1000, mark(value), {"good": 192, "uncertain": 64, "bad": 0}[quality], "bar")
              for i, (value, quality) in enumerate(sent)]
    # "now" is excluded when to is absent, and the test's clock is the core's.
    get = lambda form: read(form, ask(platform, form, ["uns/line/state"], fn="raw", **{"from": start, "to": None}).content, tmp_path)  # noqa: E731
    wait_until(lambda: len(get("json")) == len(sent), what="all values stored")
    for form in FORMATS:
        assert get(form) == wanted, form


# --- single formats

def test_csv_is_safe_to_open_and_exact(core, build_dir):
    topics = fill(build_dir, core.history, "mixed", 1, 100)
    reply = ask(core, "csv", topics, fn="raw")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    cells = [line[2] for line in csv_lines(reply.content)[1:]]
    assert cells[8] == "\"'=1+1\"" and cells[78] == "\"'-5\"" and cells[68] == "\"''quoted'\""
    assert cells[18] == '"a ""b"", c"' and cells[28] == '""' and cells[48] == '"5"' and cells[9] == ""
    assert not any(c.startswith(('"=', '"+', '"-', '"@', "=", "+", "@")) for c in cells)
    assert cells[6] == "-9007199254740999" and cells[5] == "true" and cells[15] == "false"
    for word, first in [("ms", "1767225601000.003"), ("us", "1767225601000003"), ("rfc3339", "2026-01-01T00:00:01.000003Z")]:
        assert csv_lines(ask(core, "csv", topics, fn="raw", time=word).content)[2][0] == first
    assert json.loads(ask(core, "ndjson", topics, fn="raw", time="ms").content.splitlines()[1])["time"] == 1767225601000.003


def test_binary_blocks_are_aligned_and_of_one_type(core, build_dir):
    topics = fill(build_dir, core.history, "mixed", 1, 20_000)
    blocks = binary_blocks(ask(core, "binary", topics, fn="raw").content)
    rows = [r for kind, block in blocks if kind == 2 for r in binary_rows(block)]
    assert len(rows) == 20_000
    numbers = fill(build_dir, core.history, "numbers", 1, 20_000)
    blocks = binary_blocks(ask(core, "binary", numbers, fn="raw").content)
    assert [len(binary_rows(b)) for kind, b in blocks if kind == 2] == [8192, 8192, 20_000 - 2 * 8192]


def test_parquet_of_many_row_groups_is_read_by_others(core, build_dir, tmp_path):
    count, path = 300_000, tmp_path / "many.parquet"
    topics = fill(build_dir, core.history, "numbers", 2, count)
    path.write_bytes(ask(core, "parquet", topics, fn="raw").content)
    groups = duckdb.sql(f"SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('{path}') ORDER BY 1").fetchall()
    assert [n for _, n in groups] == [131072] * 4 + [2 * count - 4 * 131072]
    wanted = sum(i % 1000 / 8 for i in range(count))
    assert duckdb.sql(f"SELECT topic, count(*), sum(value), min(value), max(value), max(epoch_us(time)) FROM '{path}' "
                      "GROUP BY topic ORDER BY topic").fetchall() == [
        (t, count, wanted, 0.0, 124.875, FROM_US + (count - 1) * 1_000_003) for t in topics]
    # Statistics let readers skip row groups: they must not skip too much.
    some = FROM_US + 200_000 * 1_000_003
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE topic = '{topics[1]}' AND epoch_us(time) >= {some}").fetchall() == [(100_000,)]
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE time >= TIMESTAMPTZ '2026-01-03 12:00:00+00'").fetchall() == [
        (2 * (count - -(-216_000_000_000 // 1_000_003)),)]
    table = pyarrow.parquet.read_table(path)
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert table["time"].cast("int64").to_pylist() == 2 * [FROM_US + i * 1_000_003 for i in range(count)]
    assert table["value"].to_pylist() == 2 * [i % 1000 / 8 for i in range(count)]
    assert table["unit"].to_pylist() == ["kN"] * count + [None] * count
    assert set(table["quality"].to_pylist()) == {192} and table["value_str"].null_count == 2 * count


# --- the question

def test_accept_chooses_the_format(core, build_dir):
    topics = fill(build_dir, core.history, "numbers", 1, 10)

    def kind_for(accept: str, expect=200, **more) -> str:
        reply = core.api.request("GET", QUERY, expect, params={"tags": topics[0], **ALL, **more}, headers={"Accept": accept})
        return reply.headers["Content-Type"].split(";")[0]

    assert kind_for("*/*") == kind_for("text/html, application/xhtml+xml, */*;q=0.8") == "application/json"
    assert kind_for("text/csv") == kind_for("text/*") == "text/csv"
    assert kind_for("application/x-ndjson, application/json;q=0.5") == "application/x-ndjson"
    assert kind_for("application/vnd.apache.parquet") == "application/vnd.apache.parquet"
    assert kind_for("application/*;q=0.2, application/vnd.nexus.columns") == "application/vnd.nexus.columns"
    assert kind_for("application/json;q=0, */*") != "application/json"
    assert kind_for("text/csv", format="json") == "application/json"
    assert kind_for("image/png", 406) == "application/problem+json"


def test_download_has_a_name(core, build_dir):
    topics = fill(build_dir, core.history, "numbers", 1, 10)
    reply = ask(core, "parquet", topics, download="1")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="history-20260101T000000Z-20261101T000000Z.parquet"'
    assert "Content-Disposition" not in ask(core, "parquet", topics).headers
    head = core.api.request("HEAD", QUERY, 200, params={"tags": topics[0], "format": "csv", "fn": "raw", **ALL})
    assert head.headers["Content-Type"].startswith("text/csv") and head.content == b""


@pytest.mark.parametrize("name,wrong", [
    ("from", {"from": None}), ("from", {"from": "yesterday"}), ("from", {"from": "2026-12-01T00:00:00Z"}),
    ("to", {"to": "x"}), ("fn", {"fn": "median"}), ("format", {"format": "xlsx"}), ("max_points", {"max_points": "0"}),
    ("max_points", {"max_points": "100001"}), ("max_points", {"max_points": "1000000001", "fn": "raw", "format": "csv"}),
    ("fill", {"fill": "zero"}), ("fill", {"fill": "linear", "fn": "raw"}), ("resolution", {"resolution": "5m"}),
    ("time", {"time": "unix", "format": "csv"}), ("time", {"time": "ms", "format": "parquet"}),
    ("download", {"download": "perhaps"}), ("tags", {"tags": ""}), ("tags", {"tags": ",".join(["a"] * 65)}),
    ("tags", {"tags": ",".join(["a"] * 1001), "format": "csv"})])
def test_bad_questions_are_told_what_is_wrong(core, name, wrong):
    question = {"tags": "a/b", **ALL, **wrong}
    question = {k: v for k, v in question.items() if v is not None}
    problem = core.api.request("GET", QUERY, 400, params=question).json()
    assert problem["code"] == "bad_parameter" and problem["errors"][0]["pointer"] == name and name in problem["detail"]
    body = {**question, "tags": question["tags"].split(",") if question["tags"] else []}
    problem = core.api.request("POST", QUERY, 422, json=body).json()
    assert problem["errors"][0]["pointer"] == f"/{name}" and problem["detail"]


def test_a_body_says_the_same_as_a_query(core, build_dir):
    topics = fill(build_dir, core.history, "mixed", 2, 500)
    body = {"tags": topics, "fn": "raw", "format": "csv", "time": "us", "download": True, **ALL}
    reply = core.api.post(QUERY, body)
    assert reply.content == ask(core, "csv", topics, fn="raw", time="us").content
    assert reply.headers["Content-Disposition"].endswith('.csv"')
    many = core.api.post(QUERY, {**body, "tags": topics * 500, "max_points": 2}).content
    assert len(csv_lines(many)) == 1 + 1000 * 2


# --- clients that are slow, or gone, and a store that is damaged

class Stream:
    """A request whose answer is read only as far as the test wants."""

    def __init__(self, platform, **query):
        self.socket = socket.create_connection(("127.0.0.1", platform.http_port), 20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        text = "&".join(f"{k}={v}" for k, v in {**ALL, **query}.items())
        token = platform.api.session.headers["Authorization"]
        self.socket.sendall(f"GET {QUERY}?{text} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline() != b"\r\n":
            pass

    def rest(self) -> bytes:
        """The body, unchunked; fails when its end is missing."""
        body = bytearray()
        while size := int(self.file.readline(), 16):
            body += self.file.read(size + 2)[:-2]
        assert self.file.readline() == b"\r\n"
        return bytes(body)

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def fast_core(processes, release_dir, tmp_path):
    """Without sanitizers, whose bookkeeping would count as memory of the core."""
    platform = Platform(processes, release_dir, tmp_path)
    platform.write_devices([])
    platform.start("core")
    platform.log_in()
    return platform


class Highest(threading.Thread):
    """The most memory that a process has had since the start of the thread."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.mb, self.is_over = process, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.is_over.wait(0.01):
            self.mb = max(self.mb, self.process.rss_mb())

    def stop(self) -> float:
        self.is_over.set()
        self.join()
        return self.mb


@pytest.mark.parametrize("form", FORMATS[1:])
def test_memory_does_not_grow_with_the_answer(fast_core, build_dir, form):
    topics = fill(build_dir, fast_core.history, "noise", 1, 1_500_000, step_us=500_000)
    short = ask(fast_core, form, topics, fn="raw", max_points=150_000)
    before, highest, size = fast_core.roles["core"].rss_mb(), Highest(fast_core.roles["core"]), 0
    answer = fast_core.api.session.get(fast_core.api.base + QUERY, stream=True, timeout=60, params={
        "tags": topics[0], "format": form, "fn": "raw", **ALL})
    for part in answer.iter_content(1 << 20):
        size += len(part)
    assert size > 8 * len(short.content)
    assert highest.stop() < before + 12, f"{before:.0f} MB before, {highest.mb:.0f} MB for {size >> 20} MB"


def test_memory_is_given_back(fast_core, build_dir):
    """Each thread of the pool would keep what its last answer took."""
    topics = fill(build_dir, fast_core.history, "noise", 1, 140_000)
    ask(fast_core, "parquet", topics, fn="raw")
    before = fast_core.roles["core"].rss_mb()
    for _ in range(24):
        ask(fast_core, "parquet", topics, fn="raw")
    assert fast_core.roles["core"].rss_mb() < before + 25


def test_a_slow_client_gets_everything_and_holds_nothing(fast_core, build_dir):
    count = 600_000
    topics = fill(build_dir, fast_core.history, "numbers", 1, count, step_us=1_000_000)
    stream = Stream(fast_core, tags=topics[0], format="csv", fn="raw", time="us")
    assert stream.status == 200
    time.sleep(3)  # the core gives its query up after two seconds
    fill(build_dir, fast_core.history, "mixed", 1, 1_000)
    with sqlite3.connect(fast_core.history / "hist.db", timeout=5) as db:
        busy, log, moved = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0, "the reader keeps the store's log from being cleared while its client sleeps"
    lines = csv_lines(stream.rest())[1:]
    assert [int(line[0]) for line in lines] == [FROM_US + i * 1_000_000 for i in range(count)]
    assert [float(line[2]) for line in lines] == [i % 1000 / 8 for i in range(count)]


def test_exports_are_few_at_a_time_and_end_with_their_client(core, build_dir):
    topics = fill(build_dir, core.history, "numbers", 1, 1_200_000, step_us=1_000_000)
    query = {"tags": topics[0], "format": "ndjson", "fn": "raw"}
    streams = [Stream(core, **query) for _ in range(4)]
    assert [s.status for s in streams] == [200] * 4
    refused = core.api.request("GET", QUERY, 503, params={**query, **ALL})
    assert refused.json()["code"] == "too_many_queries" and int(refused.headers["Retry-After"]) >= 1
    assert len(core.api.get(QUERY, params={"tags": topics[0], **ALL})["series"][0]["t"]) > 50, "charts still get through"
    streams[0].close()
    wait_until(lambda: core.api.request("GET", QUERY, params={**query, **ALL, "to": "2026-01-01T00:01:00Z"}).status_code == 200,
               what="the place of the client that has gone")
    for s in streams[1:]:
        s.close()
    assert "broke off" not in core.roles["core"].text(), "a client that goes is no failure of ours"


def damage(store, day: str) -> None:
    with sqlite3.connect(store / f"hist-{day}.db") as db:
        db.execute("UPDATE chunk SET data = x'ff' WHERE t0 = (SELECT max(t0) FROM chunk)")


def test_a_damaged_store_never_looks_like_a_complete_answer(core, build_dir):
    topics = fill(build_dir, core.history, "numbers", 1, 100_000, seal=True)
    damage(core.history, "20260102")
    for form in FORMATS[1:]:
        stream = Stream(core, tags=topics[0], format=form, fn="raw")
        if form == "parquet":  # nothing had left yet
            assert stream.status == 503
        else:
            assert stream.status == 200
            with pytest.raises(ValueError):  # the size of a further chunk is missing
                stream.rest()
        stream.close()
    series = ask(core, "json", topics + ["never/stored"], fn="raw", max_points=100_000).json()["series"]
    assert "damaged" in series[0]["error"] and series[0]["t"] == [] and "error" not in series[1]
    problem = ask(core, "csv", topics, 503, fn="raw", **{"from": "2026-01-02T03:30:00Z"}).json()
    assert problem["code"] == "history_unreadable" and "damaged" in problem["detail"]
    # The day before is whole.
    assert len(read_csv(ask(core, "csv", topics, fn="raw", to="2026-01-02T00:00:00Z").content)) > 86_000


# --- nexus history export

class Cli:
    def __init__(self, platform, directory):
        self.nexus, self.directory = platform.nexus, directory
        self.env = {**os.environ, "NEXUS_URL": platform.api.base, "HOME": str(directory),
                    "NEXUS_TOKEN": platform.api.session.headers["Authorization"].split()[1]}

    def __call__(self, *arguments, code=0) -> bytes:
        done = subprocess.run([self.nexus, "history", "export", *arguments], capture_output=True, timeout=60, env=self.env,
                              cwd=self.directory)
        assert done.returncode == code, f"{arguments}: {done.returncode} {done.stderr.decode()}"
        self.error = done.stderr.decode()
        return done.stdout


def test_export_command(core, build_dir, tmp_path):
    topics = fill(build_dir, core.history, "mixed", 2, 2_000)
    export, wanted = Cli(core, tmp_path), expected("mixed", topics, 2_000)
    since = ["--from", "2026-01-01"]
    assert read_csv(export(*topics, *since)) == wanted
    for form, suffix in [("parquet", "parquet"), ("ndjson", "ndjson"), ("binary", "nxcols")]:
        export(*topics, *since, "--file", f"out.{suffix}")
        assert read(form, (tmp_path / f"out.{suffix}").read_bytes(), tmp_path) == wanted
    assert len(read_csv(export(topics[0], *since, "--to", "2026-01-02", "--fn", "avg", "--max-points", "24"))) == 1
    assert read_csv(export(topics[0])) == []  # nothing in the last 24 hours
    assert not list(tmp_path.glob("*.part"))
    export(*topics, *since, "--format", "xlsx", code=1)
    assert "format is json, csv" in export.error


def test_export_command_leaves_no_half_file(core, build_dir, tmp_path):
    topics = fill(build_dir, core.history, "numbers", 1, 100_000, seal=True)
    damage(core.history, "20260102")
    export = Cli(core, tmp_path)
    export(*topics, "--from", "2026-01-01", "--file", "out.csv", code=6)
    assert "not complete" in export.error
    assert not list(tmp_path.glob("out.csv*"))
