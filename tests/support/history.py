"""Stored values for tests of what reads them: filling a historian, what must come out, and a reader for each format."""
import json
import re
import struct
import subprocess
from datetime import datetime, timezone

FROM_US = 1767225600000000  # 2026-01-01
TEXTS = ["=1+1", 'a "b", c', "", "two\nlines", "5", "grün 日本", "'quoted'", "-5", "bad \ufffd byte", "off"]
FORMATS = ["json", "csv", "ndjson", "binary", "parquet"]
GOOD, UNCERTAIN, TIMEOUT = 192, 64, 24


def fill(build, store, kind: str, series: int, count: int, step_us: int = 1_000_003, from_us: int = FROM_US,
         seal: bool = False) -> list[str]:
    """Commits points by the program of the same rules (tests/interop/history_fill.c); returns the topics."""
    subprocess.run([build / "tests" / "interop" / "history_fill", f"sqlite:{store}", kind, str(series), str(count),
                    str(from_us), str(step_us), *(["seal"] if seal else [])], check=True, timeout=240)
    return [f"uns/fill/{kind}-{s}" for s in range(series)]


def value(kind: str, i: int):
    if kind == "noise":
        return i * 2654435761 % 2**32 / 1024
    if kind == "numbers" or i % 10 < 5:
        return i % 1000 / 8
    return [i // 10 % 2 == 0, -9007199254740993 - i, 2**64 - 1 - i, TEXTS[i // 10 % len(TEXTS)], None][i % 10 - 5]


def quality(kind: str, i: int) -> int:
    return GOOD if kind != "mixed" else {4: UNCERTAIN, 9: TIMEOUT}.get(i % 10, GOOD)


def mark(v):
    """True is 1 to Python, and so is 1.0: only for numbers is that fine."""
    return ("bool", v) if isinstance(v, bool) else v


def expected(kind: str, topics: list[str], count: int, step_us: int = 1_000_003, from_us: int = FROM_US) -> list[tuple]:
    """(topic, time in us, value, quality, unit) of every row."""
    return [(topic, from_us + i * step_us, mark(value(kind, i)), quality(kind, i), "kN" if s % 2 == 0 else None)
            for s, topic in enumerate(topics) for i in range(count)]


def time_us(text: str) -> int:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text), text
    return round(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp() * 1e6)


# --- readers: the bytes of an answer as rows

def read_json(body: bytes) -> list[tuple]:
    return [(s["topic"], round(t * 1000), mark(v), q, s.get("unit"))
            for s in json.loads(body)["series"] for t, v, q in zip(s["t"], s["v"], s["q"], strict=True)]


CELL = re.compile(r'("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)')


def csv_lines(body: bytes) -> list[list[str]]:
    """Cells as they stand, with their quotes (RFC 4180)."""
    lines, line, at, text = [], [], 0, body.decode()
    while at < len(text):
        found = CELL.match(text, at)
        assert found, f"not CSV at {text[at:at + 80]!r}"
        line.append(found[1])
        at = found.end()
        if found[2] == "\r\n":
            lines.append(line)
            line = []
    assert not line
    return lines


def csv_text(cell: str) -> str:
    plain = cell[1:-1].replace('""', '"')
    return plain[1:] if plain.startswith("'") else plain


def csv_value(cell: str):
    if cell == "" or cell.startswith('"'):
        return csv_text(cell) if cell else None
    return mark(json.loads(cell))


def read_csv(body: bytes) -> list[tuple]:
    head, *lines = csv_lines(body)
    assert head == ["time", "topic", "value", "quality", "unit"]
    return [(csv_text(topic), time_us(t), csv_value(v), int(q), csv_text(unit) if unit else None)
            for t, topic, v, q, unit in lines]


def read_ndjson(body: bytes) -> list[tuple]:
    assert body == b"" or body.endswith(b"\n")
    rows = [json.loads(line) for line in body.splitlines()]
    return [(r["topic"], time_us(r["time"]), mark(r["value"]), r["quality"], r.get("unit")) for r in rows]


def binary_blocks(body: bytes) -> list[tuple[int, bytes]]:
    assert body[:8] == b"NXCOLS01"
    blocks, at = [], 8
    while at < len(body):
        kind, size = struct.unpack_from("<II", body, at)
        assert size % 8 == 0 and at + 8 + size <= len(body)
        blocks.append((kind, body[at + 8:at + 8 + size]))
        at += 8 + size
    return blocks


def binary_rows(block: bytes) -> list[tuple]:
    """(time in us, value, quality) of a block of rows (docs/formats/history-binary.md)."""
    _, n, kind, text_bytes = struct.unpack_from("<IIII", block)
    pad = lambda size: (size + 7) // 8 * 8  # noqa: E731
    times = struct.unpack_from(f"<{n}d", block, 16)
    at = 16 + 8 * n
    if kind == 5:
        offsets = struct.unpack_from(f"<{n + 1}I", block, at)
        at += pad(4 * (n + 1))
        text = block[at:at + text_bytes]
        at += pad(text_bytes)
        values = [text[a:b].decode() for a, b in zip(offsets, offsets[1:])]
    else:
        values = struct.unpack_from(f"<{n}{ {1: 'd', 2: 'q', 3: 'Q', 4: 'd'}[kind]}", block, at)
        at += 8 * n
        values = [None if v != v else mark(v == 1) if kind == 1 else v for v in values]
    qualities = struct.unpack_from(f"<{n}H", block, at)
    assert at + pad(2 * n) == len(block)
    return [(round(t * 1000), v, q) for t, v, q in zip(times, values, qualities)]


def read_binary(body: bytes) -> list[tuple]:
    topics, rows, ended = {}, [], []
    blocks = binary_blocks(body)
    for kind, block in blocks:
        if kind == 2:
            topic = topics[struct.unpack_from("<I", block)[0]]
            rows += [(topic["topic"], *row, topic["unit"] or None) for row in binary_rows(block)]
            continue
        meta = json.loads(block)
        if kind == 1:
            topics[meta["index"]] = meta
        elif kind == 3:
            ended.append(meta["index"])
    assert blocks[-1][0] == 4 and json.loads(blocks[-1][1]) == {"rows": len(rows)}
    assert ended == sorted(topics)
    return rows


def parquet_value(number, text):
    if text is None or number is None:
        return text if number is None else number
    return mark(text == "true") if text in ("true", "false") else int(text)


def read_parquet(path) -> list[tuple]:
    import duckdb
    found = duckdb.sql(f"SELECT topic, epoch_us(time), value, value_str, quality, unit FROM '{path}'").fetchall()
    for _, _, number, text, _, _ in found: # the number beside a text is what it says, as near as a double gets
        assert number is None or text in (None, "true", "false") or float(int(text)) == number
    return [(topic, t, parquet_value(v, text), q, unit) for topic, t, v, text, q, unit in found]


def read(form: str, body: bytes, directory) -> list[tuple]:
    if form == "parquet":
        path = directory / "answer.parquet"
        path.write_bytes(body)
        return read_parquet(path)
    return {"json": read_json, "csv": read_csv, "ndjson": read_ndjson, "binary": read_binary}[form](body)
