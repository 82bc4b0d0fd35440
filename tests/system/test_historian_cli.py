"""`nexus historian stats|verify|migrate` on a store that ingestion wrote: what they print, and their exit codes."""
import calendar
import json
import math
import pathlib
import shutil
import sqlite3
import subprocess
import time

import pytest

from support.history import fill
from support.lite_reader import Store
from support.postgres import Postgres
from support.process import wait_until

TOPIC, TEXTS = "uns/press/force", "uns/press/state"
HOUR_MS = 3600_000
PER_DAY, DAYS = 400, 3


@pytest.fixture(scope="module")
def first_ms():
    """A midnight some days ago, so that the days are over."""
    return (int(time.time()) // 86400 - DAYS - 1) * 86400_000


def publish(platform, topic: str, messages: list[dict]) -> None:
    lines = "".join(json.dumps(m) + "\n" for m in messages)
    subprocess.run(["mosquitto_pub", "-p", str(platform.broker.port), "-t", topic, "-q", "1", "-l"], input=lines,
                   text=True, check=True, timeout=60)


def messages(first_ms: int) -> tuple[list[dict], list[dict]]:
    times = [first_ms + day * 86400_000 + i * 7919 for day in range(DAYS) for i in range(PER_DAY)]
    numbers = [{"value": i / 8, "timestamp": t, "quality": "good", "unit": "kN"} for i, t in enumerate(times)]
    numbers[7] = {"value": None, "timestamp": times[7], "quality": "bad"}
    texts = [{"value": f"état {i}", "timestamp": t, "quality": "good"} for i, t in enumerate(times[::50])]
    return numbers, texts


@pytest.fixture
def store(platform, first_ms) -> pathlib.Path:
    """What ingestion left, not sealed yet."""
    platform.start("ingest")
    numbers, texts = messages(first_ms)
    publish(platform, TOPIC, numbers)
    publish(platform, TEXTS, texts)
    wait_until(lambda: stored(platform.history) == len(numbers) + len(texts), what="everything stored")
    platform.roles["ingest"].stop()
    return platform.history


def stored(history: pathlib.Path) -> int:
    if not (history / "hist.db").exists():
        return 0
    with sqlite3.connect(f"file:{history}/hist.db?mode=ro", uri=True) as db:
        return db.execute("SELECT points FROM total").fetchone()[0]


class Historian:
    def __init__(self, nexus, directory):
        self.nexus, self.directory = nexus, directory

    def __call__(self, *arguments, code=0) -> str:
        done = subprocess.run([self.nexus, "historian", *map(str, arguments)], capture_output=True, text=True,
                              timeout=100, cwd=self.directory)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.error = done.stderr
        return done.stdout


@pytest.fixture
def historian(build_dir, tmp_path) -> Historian:
    return Historian(build_dir / "nexus", tmp_path)


@pytest.fixture
def copy(historian, store, tmp_path) -> pathlib.Path:
    """A migrated store: sealed and rolled up."""
    historian("migrate", "--from", f"sqlite:{store}", "--to", f"sqlite:{tmp_path}/copy")
    return tmp_path / "copy"


def flip(path: pathlib.Path, blob: bytes) -> None:
    """One bit in the middle of a value that the file holds."""
    data = bytearray(path.read_bytes())
    middle = len(blob) // 2
    data[data.index(blob[middle - 8:middle + 8]) + 8] ^= 0x10  # a long value lies on several pages
    path.write_bytes(data)


def blob_of(path: pathlib.Path, sql: str) -> bytes:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    blob = db.execute(sql).fetchone()[0]
    db.close()
    return blob


def test_stats_say_what_is_stored(historian, store, tmp_path, first_ms):
    doc = json.loads(historian("stats", "--url", f"sqlite:{store}", "-o", "json"))
    assert doc["backend"] == "sqlite" and doc["series"] == 2
    assert doc["points"] == DAYS * PER_DAY * 51 // 50 and doc["unsealed_points"] == doc["points"]
    assert doc["first"] == time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(first_ms / 1000))
    # The same by the settings of a configuration file, and by an override.
    (tmp_path / "nexus.yaml").write_text(f"historian:\n  url: sqlite:{store}\nmqtt:\n  broker_url: mqtt://x\n")
    text = historian("stats", "--config", tmp_path / "nexus.yaml")
    assert f"points               {doc['points']}" in text
    assert historian("stats", "--set", f"historian.url=sqlite:{store}") == text
    assert "does not exist" in (historian("stats", "--url", f"sqlite:{tmp_path}/none", code=3) + historian.error)
    historian("stats", "--nonsense", code=2)
    historian("migrate", code=2)


def test_a_sound_store_is_called_sound(historian, store, copy):
    text = historian("verify", "--url", f"sqlite:{store}")
    assert "2 series, 1224 values, 0 rollups: all of it is sound" in text
    text = historian("verify", "--url", f"sqlite:{copy}")
    assert "2 series, 1224 values" in text and "sound" in text
    assert int(text.split(" rollups")[0].split()[-1]) > 100


def test_migration_keeps_everything_and_can_be_repeated(historian, store, copy, tmp_path, first_ms):
    text = historian("migrate", "--from", f"sqlite:{store}", "--to", f"sqlite:{copy}")
    assert text.startswith("0 values copied") and "2 series were complete" in text
    stats = json.loads(historian("stats", "--url", f"sqlite:{copy}", "-o", "json"))
    assert stats["points"] == 1224 and stats["unsealed_points"] == 0 and stats["quarantined_points"] == 0
    with sqlite3.connect(copy / "hist.db") as db:
        assert db.execute("SELECT unit FROM series WHERE topic = ?", (TOPIC,)).fetchone() == ("kN",)
        gateways = db.execute("SELECT gateway FROM lane").fetchall()
        assert gateways and all(name.startswith("migrate-") for name, in gateways)
    # And back into a third one, from the sealed store: the same values again.
    historian("migrate", "--from", f"sqlite:{copy}", "--to", f"sqlite:{tmp_path}/third")
    assert "2 series, 1224 values" in historian("verify", "--url", f"sqlite:{tmp_path}/third")
    assert historian("migrate", "--from", f"sqlite:{copy}", "--to", f"sqlite:{copy}", code=2) == ""


def test_values_go_to_postgresql_and_come_back(historian, store, processes, tmp_path):
    server = Postgres(processes, tmp_path).start()
    assert historian("migrate", "--from", f"sqlite:{store}", "--to", server.url).startswith("1224 values copied")
    assert historian("migrate", "--from", f"sqlite:{store}", "--to", server.url).startswith("0 values copied")
    text = historian("verify", "--url", server.url)
    assert "2 series, 1224 values" in text and "sound" in text
    doc = json.loads(historian("stats", "--url", server.url, "-o", "json"))
    assert doc["backend"] == "postgres" and doc["points"] == 1224
    historian("migrate", "--from", server.url, "--to", f"sqlite:{tmp_path}/back")
    historian("migrate", "--from", f"sqlite:{store}", "--to", f"sqlite:{tmp_path}/straight")
    assert chunks_of(tmp_path / "back") == chunks_of(tmp_path / "straight")


def chunks_of(history: pathlib.Path) -> list[tuple]:
    """Every sealed byte, by day and topic."""
    found = []
    with sqlite3.connect(history / "hist.db") as db:
        topics = dict(db.execute("SELECT series_id, topic || coalesce(unit, '') FROM series"))
    for day in sorted(history.glob("hist-????????.db")):
        with sqlite3.connect(day) as db:
            found += sorted((day.name, topics[sid], t0, data)
                            for sid, t0, data in db.execute("SELECT series_id, t0, data FROM chunk"))
    assert found
    return found


def test_other_values_of_the_same_number_are_copied(historian, platform, tmp_path, first_ms):
    """One value here and another one there are two, although each store has one."""
    platform.start("ingest")
    for i, name in enumerate(["history", "other"]):
        platform.history = tmp_path / name
        if i:
            platform.start_role("ingest")
        publish(platform, TOPIC, [{"value": i, "timestamp": first_ms + i * 1000, "quality": "good"}])
        wait_until(lambda: stored(platform.history) == 1, what="the value stored")
        platform.roles["ingest"].stop()
    text = historian("migrate", "--from", f"sqlite:{tmp_path}/history", "--to", f"sqlite:{tmp_path}/other")
    assert text.startswith("1 values copied")
    assert "1 series, 2 values" in historian("verify", "--url", f"sqlite:{tmp_path}/other")


def test_sums_around_zero_are_sound(historian, platform, processes, tmp_path, first_ms):
    """On PostgreSQL hours are sums of minutes and days sums of hours: rounding is no damage."""
    platform.start("ingest")
    half = [1e6 * math.sin(i * i) for i in range(180)]
    values = (half + [-v for v in reversed(half)]) * 4  # an hour each, every 10 s
    wave = [{"value": v, "timestamp": first_ms + i * 10_000, "quality": "good"} for i, v in enumerate(values)]
    publish(platform, TOPIC, wave)
    wait_until(lambda: stored(platform.history) == len(wave), what="everything stored")
    platform.roles["ingest"].stop()
    server = Postgres(processes, tmp_path).start()
    historian("migrate", "--from", f"sqlite:{platform.history}", "--to", server.url)
    assert "sound" in historian("verify", "--url", server.url)


def test_a_password_is_not_printed(historian):
    url = "postgres://nexus:s3cret@127.0.0.1:1/none"
    historian("migrate", "--from", url, "--to", url, code=2)
    assert "s3cret" not in historian.error
    historian("stats", "--url", url, code=6)
    assert "s3cret" not in historian.error


def test_an_interrupted_migration_is_resumed(historian, store, tmp_path):
    """As after a crash: some of a series is there already."""
    target = f"sqlite:{tmp_path}/target"
    historian("migrate", "--from", f"sqlite:{store}", "--to", target)
    day = sorted((tmp_path / "target").glob("hist-????????.db"))[0]
    day.unlink()
    for rollups in (tmp_path / "target").glob("roll-*.db"):
        rollups.unlink()
    text = historian("migrate", "--from", f"sqlite:{store}", "--to", target)
    assert not text.startswith("0 values copied")
    assert "2 series, 1224 values" in historian("verify", "--url", target)


def test_a_flipped_bit_is_found_and_named(historian, copy):
    day = sorted(copy.glob("hist-????????.db"))[1]
    flip(day, blob_of(day, "SELECT data FROM chunk ORDER BY length(data) DESC LIMIT 1"))
    text = historian("verify", "--url", f"sqlite:{copy}", code=1)
    assert day.name in text and TOPIC in text and "remedy:" in text and "are wrong" in text
    others = [other.name for other in copy.glob("hist-????????.db") if other != day]
    assert not any(name in text for name in others)


def test_damaged_rollups_are_found_and_made_again(historian, copy, store, tmp_path):
    month = sorted(copy.glob("roll-??????.db"))[0]
    flip(month, blob_of(month, "SELECT data FROM minute WHERE data IS NOT NULL ORDER BY length(data) DESC LIMIT 1"))
    text = historian("verify", "--url", f"sqlite:{copy}", code=1)
    assert month.name in text and "remove the file: it is made again" in text
    month.unlink()
    # Whoever keeps the store makes them again; a migration does, too.
    historian("migrate", "--from", f"sqlite:{store}", "--to", f"sqlite:{copy}")
    assert month.exists()
    assert "sound" in historian("verify", "--url", f"sqlite:{copy}")


def test_a_store_with_wrong_books_is_found(historian, copy):
    with sqlite3.connect(copy / "hist.db") as db:
        db.execute("DELETE FROM ledger")
    day = sorted(copy.glob("hist-????????.db"))[0]
    with sqlite3.connect(day) as db:
        db.execute("UPDATE day SET points = points + 1")
    text = historian("verify", "--url", f"sqlite:{copy}", code=1)
    assert "ledger of migrate-" in text and "according to its books" in text


def test_ingestion_goes_on_in_a_migrated_store(historian, platform, copy, first_ms):
    """The ledger is not copied; what a gateway sends again is recognised by its time."""
    platform.history = copy
    platform.start_role("ingest")
    publish(platform, TOPIC, messages(first_ms)[0][:50])
    wait_until(lambda: stored(copy) == 1224 + 50, what="the values taken")  # sealing will find that they are double
    platform.roles["ingest"].stop()
    assert "2 series, 1224 values" in historian("verify", "--url", f"sqlite:{copy}")


def test_a_day_that_is_lost_comes_back_from_a_backup(historian, copy, store, build_dir, tmp_path):
    """As docs/formats/historian-sqlite.md says: set aside with everything else going on, then copied from a backup."""
    backup, day = f"sqlite:{store}", sorted(copy.glob("hist-????????.db"))[1]
    day.write_bytes(b"\0" * day.stat().st_size)
    text = historian("verify", "--url", f"sqlite:{copy}", code=1)
    assert f"{day}: " in text and "restore the file from a backup" in text and "1 things are wrong" not in text
    assert json.loads(historian("stats", "--url", f"sqlite:{copy}", "-o", "json"))["damaged_files"] == 1
    noon = calendar.timegm(time.strptime(day.name[5:13], "%Y%m%d")) + 43200
    fill(build_dir, tmp_path / "more", "numbers", 1, 10, from_us=noon * 10**6)
    historian("migrate", "--from", f"sqlite:{tmp_path}/more", "--to", f"sqlite:{copy}", code=1)
    aside = day.with_name(day.name + ".damaged-1")
    assert f"{aside} is damaged" in historian.error and "backup" in historian.error and aside.exists() and day.exists()
    text = historian("verify", "--url", f"sqlite:{copy}", code=1)
    assert f"{aside}: was damaged" in text and "3 series, 826 values" in text and "1 things are wrong" in text
    historian("migrate", "--from", backup, "--to", f"sqlite:{copy}")
    aside.unlink()
    assert "3 series, 1234 values" in historian("verify", "--url", f"sqlite:{copy}")


def test_a_store_without_its_dictionary_is_refused(historian, copy, store):
    (copy / "hist.db").unlink()
    historian("migrate", "--from", f"sqlite:{store}", "--to", f"sqlite:{copy}", code=1)
    assert f"{copy}/hist.db" in historian.error and "backup" in historian.error


def test_ingestion_goes_on_without_a_lost_day_and_names_it(historian, platform, copy, first_ms, tmp_path):
    """Log, /status, the API and the metric name the file until it is gone; late values of that day get a new one."""
    backup = shutil.copytree(copy, tmp_path / "backup")
    day = sorted(copy.glob("hist-????????.db"))[0]
    day.write_bytes(b"")
    platform.history = copy
    platform.write_devices([])
    platform.start("ingest", "core")
    platform.log_in()
    damage = lambda: platform.api.get("/api/v1/system/ingest")["historian"]["damage"]  # noqa: E731
    assert damage() is None and platform.metrics("ingest")["nexus_ingest_historian_damaged_files"] == 0
    readings = [{"value": i, "timestamp": first_ms + i * 1000 + 1, "quality": "good"} for i in range(21_000)]
    publish(platform, TOPIC, [readings[at:at + 3000] for at in range(0, len(readings), 3000)])
    wait_until(damage, 60, "the file being set aside")
    aside = day.with_name(day.name + ".damaged-1")
    assert damage()["error"] == "CORRUPT" and str(aside) in damage()["reason"] and "backup" in damage()["reason"]
    assert platform.metrics("ingest")["nexus_ingest_historian_damaged_files"] == 1
    assert f"{aside} is damaged" in platform.roles["ingest"].text()
    lost = PER_DAY * 51 // 50
    with Store(copy) as read:
        assert sum(1 for _ in read.points()) == DAYS * lost - lost + len(readings)
    assert aside.name in historian("verify", "--url", f"sqlite:{copy}", code=1)
    platform.roles["ingest"].stop()
    historian("migrate", "--from", f"sqlite:{backup}", "--to", f"sqlite:{copy}")
    aside.unlink()
    platform.start_role("ingest")
    wait_until(lambda: damage() is None, what="the file being gone")
    assert f"{DAYS * lost + len(readings)} values" in (text := historian("verify", "--url", f"sqlite:{copy}")) and "sound" in text


def test_a_damaged_day_is_saved_with_the_sqlite_command(historian, copy, store, tmp_path):
    """The way without a backup: what can be read goes through a scratch store."""
    day = sorted(copy.glob("hist-????????.db"))[1]
    aside, scratch = day.with_name(day.name + ".damaged-1"), tmp_path / "scratch"
    with sqlite3.connect(day) as db:
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'day'").fetchone()[0]
    day.rename(aside)
    with aside.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x5a" * 4096)
    scratch.mkdir()
    subprocess.run(f"sqlite3 '{aside}' .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 '{scratch / day.name}'", shell=True,
                   check=True, timeout=60)
    shutil.copy(copy / "hist.db", scratch)
    historian("migrate", "--from", f"sqlite:{scratch}", "--to", f"sqlite:{copy}")
    aside.unlink()
    assert "2 series, 1224 values" in historian("verify", "--url", f"sqlite:{copy}")
