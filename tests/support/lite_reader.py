#!/usr/bin/env python3
"""A second reader of the SQLite historian, written from docs/formats/historian-sqlite.md and sharing no code with the first.

    python tests/support/lite_reader.py DIR [--ledger]

prints every stored point (or the ledger) as CSV. The files are opened read-only and may be in use. What is damaged ends it
with the file and the place.
"""
import argparse
import csv
import pathlib
import re
import sqlite3
import struct
import sys
from typing import Iterator, NamedTuple

DAY_US = 86_400_000_000
UNITS_US = (1, 1_000, 1_000_000)
NONE, BOOL, INT, UINT, DOUBLE, TEXT = range(6)
TYPES = ("none", "bool", "int", "uint", "double", "text")
SAME, DELTA, DECIMAL, DECIMAL_FLOAT, XOR = range(5)


class Damaged(Exception):
    """Names the file and what in it is not as described."""


class Series(NamedTuple):
    topic: str
    device_id: str | None
    tag_id: str | None
    unit: str | None
    data_type: int


class Point(NamedTuple):
    topic: str
    time_us: int
    quality: int
    type: int
    value: object  # None, bool, int, float, str


class Lane(NamedTuple):
    gateway: str
    epoch: int
    lane: int
    batches: int
    points: int
    duplicate_batches: int
    stored: list[tuple[int, int]]  # (from, to), joined
    gaps: list[tuple[int, int, int, str]]  # (from, to, points, cause)


# --- bytes

def crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Bytes:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, n: int) -> bytes:
        if n > self.left():
            raise Damaged("it ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u(self) -> int:
        """LEB128."""
        value = shift = 0
        while (byte := self.u8()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return (value | byte << shift) % 2**64

    def s(self) -> int:
        """Zigzag."""
        value = self.u()
        return value >> 1 ^ -(value & 1)


# --- runs

def signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def of_word(kind: int, word: int):
    word %= 2**64
    return {NONE: None, BOOL: bool(word & 1), INT: signed(word), UINT: word}[kind]


def sums(b: Bytes, n: int) -> list[int]:
    total, found = 0, []
    for _ in range(n):
        total = (total + b.s()) % 2**64
        found.append(total)
    return found


def as_float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read_xor(b: Bytes, n: int) -> list[float]:
    bits, found = 0, []
    for _ in range(n):
        head = b.u8()
        lead, size = head >> 4, head & 15
        if lead + size > 8:
            raise Damaged("an XOR of more than 8 bytes")
        if size:
            bits ^= int.from_bytes(b.take(size), "little") << 8 * (8 - lead - size)
        found.append(struct.unpack("<d", bits.to_bytes(8, "little"))[0])
    return found


def read_doubles(b: Bytes, n: int, encoding: int) -> list[float]:
    if encoding == SAME:
        return list(struct.unpack("<d", b.take(8))) * n
    if encoding == XOR:
        return read_xor(b, n)
    power = 10.0 ** b.u8()
    values = [signed(m) / power for m in sums(b, n)]
    return [as_float32(v) for v in values] if encoding == DECIMAL_FLOAT else values


def read_texts(b: Bytes, n: int) -> list[str]:
    text, found = "", []
    for _ in range(n):
        if size := b.u():
            text = b.take(size - 1).decode(errors="replace")
        found.append(text)
    return found


def read_values(b: Bytes, n: int, kind: int, encoding: int) -> list:
    allowed = {TEXT: (SAME,), NONE: (SAME,), DOUBLE: (SAME, DECIMAL, DECIMAL_FLOAT, XOR)}.get(kind, (SAME, DELTA))
    if kind > TEXT or encoding not in allowed:
        raise Damaged(f"type {kind} in encoding {encoding}")
    if kind == TEXT:
        return read_texts(b, n)
    if kind == DOUBLE:
        return read_doubles(b, n, encoding)
    if encoding == SAME:
        return [of_word(kind, b.s() if kind != NONE else 0)] * n
    return [of_word(kind, word) for word in sums(b, n)]


def read_times(b: Bytes, n: int, unit_us: int, is_regular: bool) -> list[int]:
    times = [b.s()]
    delta = b.u() if n > 1 else 0
    for i in range(1, n):
        if i > 1 and not is_regular:
            delta += b.s()
        times.append(times[-1] + delta)
    return [t * unit_us for t in times]


def read_qualities(b: Bytes, n: int, is_one: bool) -> list[int]:
    if is_one:
        return [b.u()] * n
    found = []
    while len(found) < n:
        quality = b.u()
        found += [quality] * b.u()
    return found


def read_run(data: bytes, n: int, has_crc: bool) -> list[tuple[int, int, int, object]]:
    """(time in us, quality, type, value) of n points."""
    flags = data[0] if data else 0
    if has_crc and not flags & 16:
        raise Damaged("no check sum")
    if flags & 16:
        data, crc = data[:-4], int.from_bytes(data[-4:], "little")
        if crc32c(data) != crc:
            raise Damaged("check sum")
    b = Bytes(data)
    b.u8()
    if flags & 3 == 3 or flags > 31 or n < 1:
        raise Damaged(f"flags {flags}, {n} points")
    times = read_times(b, n, UNITS_US[flags & 3], bool(flags & 4))
    qualities = read_qualities(b, n, bool(flags & 8))
    types, values = [], []
    while len(values) < n:
        head = b.u8()
        count = b.u() or n - len(values)
        types += [head & 15] * count
        values += read_values(b, count, head & 15, head >> 4)
    if b.left() or len(values) != n or len(qualities) != n:
        raise Damaged("more or less in it than said")
    return list(zip(times, qualities, types, values))


def read_block(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(series, points, run) of each run of a block."""
    b = Bytes(data)
    if b.u8() != 1:
        raise Damaged("block of another version")
    index = Bytes(b.take(b.u()))
    series = 0
    while index.left():
        series += index.u()
        yield series, index.u(), b.take(index.u())
    if b.left():
        raise Damaged("a run without a place in the index")


# --- the store

def open_file(path: pathlib.Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=10)
    db.text_factory = lambda text: text.decode(errors="replace")
    db.execute("BEGIN")
    return db


class Day:
    """The sealed chunks of a day."""

    def __init__(self, path: pathlib.Path, day: int):
        self.path, self.day, self.db = path, day, open_file(path)
        self.points, self.sealed_through = self.db.execute("SELECT points, sealed_through FROM day").fetchone()

    def of(self, series: int) -> list[tuple]:
        found = []
        for t0, t1, n, data in self.db.execute("SELECT t0, t1, n, data FROM chunk WHERE series_id = ? ORDER BY t0", (series,)):
            try:
                points = read_run(data, n, has_crc=True)
            except Damaged as e:
                raise Damaged(f"{self.path}: chunk ({series}, {t0}): {e}") from e
            if (points[0][0], points[-1][0]) != (t0, t1) or t0 // DAY_US != self.day or t1 // DAY_US != self.day:
                raise Damaged(f"{self.path}: chunk ({series}, {t0}) has other times than its key")
            found += points
        for one, following in zip(found, found[1:]):
            if following[0] <= one[0]:
                raise Damaged(f"{self.path}: series {series} has {following[0]} behind {one[0]}")
        return found


class Store:
    """One moment of a store. doubles: (topic, time) of hot points that were stored before; the first one counts."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.path = self.directory / "hist.db"
        self.hist = open_file(self.path)
        self.series = {row[0]: Series(*row[1:]) for row in self.hist.execute(
            "SELECT series_id, topic, device_id, tag_id, unit, data_type FROM series")}
        self.total = dict(zip(("points", "duplicate_points", "quarantined_points", "hot_points"), self.hist.execute(
            "SELECT points, duplicate_points, quarantined_points, hot_points FROM total").fetchone()))
        self.hot = self.read_hot()  # before the days: what is sealed from now on is in both
        self.days = self.open_days()
        self.doubles: list[tuple[str, int]] = []

    def read_hot(self) -> dict[int, list[tuple]]:
        """Of each series (time, quality, type, value, block), in the order of storing."""
        found: dict[int, list[tuple]] = {}
        for block, points, data in self.hist.execute("SELECT block_id, points, data FROM hot ORDER BY block_id"):
            count = 0
            try:
                for series, n, run in read_block(data):
                    found.setdefault(series, []).extend((*p, block) for p in read_run(run, n, has_crc=False))
                    count += n
            except Damaged as e:
                raise Damaged(f"{self.path}: block {block}: {e}") from e
            if count != points:
                raise Damaged(f"{self.path}: block {block} has {count} points, not {points}")
        return found

    def open_days(self) -> list[Day]:
        found = []
        for path in sorted(self.directory.glob("hist-*.db")):
            if name := re.fullmatch(r"hist-(\d{4})(\d\d)(\d\d)\.db", path.name):
                found.append(Day(path, day_number(*map(int, name.groups()))))
        return found

    def merge(self, series: int) -> dict[int, tuple]:
        """By time: what is sealed was stored first, and of hot points the earlier ones."""
        topic, sealed = self.series[series].topic, {}
        for day in self.days:
            sealed.update((p[0], (p, day)) for p in day.of(series))
        found = {time: p for time, (p, _) in sealed.items()}
        for *point, block in self.hot.get(series, []):
            time = point[0]
            if time not in found:
                found[time] = tuple(point)
            elif time not in sealed or block > sealed[time][1].sealed_through:
                self.doubles.append((topic, time))
        return found

    def points(self, topics=None) -> Iterator[Point]:
        """Every stored point once, by topic and time."""
        self.doubles = []
        for number, series in sorted(self.series.items(), key=lambda item: item[1].topic):
            if topics is None or series.topic in topics:
                found = self.merge(number)
                yield from (Point(series.topic, *found[time]) for time in sorted(found))

    def ledger(self) -> list[Lane]:
        ask = lambda sql, lane: self.hist.execute(sql, (lane,)).fetchall()  # noqa: E731
        return [Lane(*row[1:], ask("SELECT from_seq, to_seq FROM ledger WHERE lane_id = ? ORDER BY from_seq", row[0]),
                     ask("SELECT from_seq, to_seq, points, cause FROM gap WHERE lane_id = ? ORDER BY from_seq", row[0]))
                for row in self.hist.execute("SELECT lane_id, gateway, epoch, lane, batches, points, duplicate_batches"
                                             " FROM lane ORDER BY gateway, epoch, lane").fetchall()]

    def close(self) -> None:
        for db in [self.hist, *(day.db for day in self.days)]:
            db.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def day_number(year: int, month: int, day: int) -> int:
    import datetime
    return (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days


# --- the command

def shown(point: Point):
    return str(point.value).lower() if point.type == BOOL else "" if point.value is None else point.value


def main() -> None:
    options = argparse.ArgumentParser(description="Prints the points of a SQLite historian as CSV.")
    options.add_argument("directory")
    options.add_argument("--ledger", action="store_true", help="the ledger instead: a line for each committed stretch and gap")
    asked = options.parse_args()
    out = csv.writer(sys.stdout, lineterminator="\n")
    with Store(asked.directory) as store:
        if asked.ledger:
            out.writerow(["gateway", "epoch", "lane", "from", "to", "what"])
            for lane in store.ledger():
                out.writerows([*lane[:3], *stretch, "stored"] for stretch in lane.stored)
                out.writerows([*lane[:3], *gap[:2], gap[3]] for gap in lane.gaps)
            return
        out.writerow(["topic", "time_us", "quality", "type", "value"])
        out.writerows([*p[:3], TYPES[p.type], shown(p)] for p in store.points())


if __name__ == "__main__":
    try:
        main()
    except (Damaged, sqlite3.Error) as e:
        sys.exit(f"lite_reader: {e}")
    except BrokenPipeError:
        sys.exit(1)
