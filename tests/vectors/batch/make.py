#!/usr/bin/env python3
"""Writes the vectors beside it: NAME.json says what NAME.bin holds. Written from docs/formats/batch.md alone, without our
C code, so that both can be held against each other. Also seeds fuzz/corpus/batch_decode."""
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
TYPES = {"none": 0, "bool": 1, "int": 2, "uint": 3, "double": 4, "string": 5}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    return bytes(out + bytes([v]))


def zigzag(v):
    v = (v + 2**63) % 2**64 - 2**63
    return varint((v << 1 if v >= 0 else (-v << 1) - 1) & (2**64 - 1))


def front(text, before):
    shared = 0
    while shared < min(len(text), len(before)) and text[shared] == before[shared]:
        shared += 1
    return varint(shared) + varint(len(text) - shared) + text[shared:]


def runs(items):
    out = []
    for item in items:
        if out and out[-1][0] == item:
            out[-1][1] += 1
        else:
            out.append([item, 1])
    return out


def numbers(values, base):
    grouped = runs(values)
    by_runs = len(grouped) <= len(values) // 2
    out = bytearray([1 if by_runs else 0])
    for value, length in grouped if by_runs else [(v, 1) for v in values]:
        out += zigzag(value - base)
        if by_runs:
            out += varint(length)
        base = value
    return bytes(out)


def value_bytes(kind, v):
    if kind == "bool":
        return bytes([v])
    if kind == "int":
        return zigzag(v)
    if kind == "uint":
        return varint(int(v))
    if kind == "double":
        return struct.pack("<d", v)
    if kind == "string":
        return varint(len(v.encode())) + v.encode()
    return b""


def columns(doc):
    out = bytearray(varint(len(doc["series"])))
    before = {"topic": "", "device_id": "", "tag_id": "", "unit": ""}
    for s in doc["series"]:
        for key in before:
            out += front(s[key].encode(), before[key].encode())
        out.append(TYPES[s["data_type"]])
        before = {key: s[key] for key in before}
    points, at, expected = doc["points"], 0, 0
    while at < len(points):
        first, begin = points[at]["series"], at
        while at < len(points) and points[at]["series"] == first + at - begin:
            at += 1
        out += zigzag(first - expected) + varint(at - begin)
        expected = first + at - begin
    out += numbers([p["time_us"] for p in points], points[0]["time_us"] if points else 0)
    out += numbers([p["gateway_us"] - p["time_us"] for p in points], 0)
    for quality, length in runs([p["quality"] for p in points]):
        out += varint(quality) + varint(length)
    odd = [i for i, p in enumerate(points) if p["type"] != doc["series"][p["series"]]["data_type"]]
    out += varint(len(odd))
    for k, i in enumerate(odd):
        out += varint(i - (odd[k - 1] if k else 0)) + bytes([TYPES[points[i]["type"]]])
    for p in points:
        out += value_bytes(p["type"], p["value"])
    return bytes(out)


def record(doc):
    gateway = doc["gateway"].encode()
    if "gap" in doc:
        g = doc["gap"]
        flags, base, count = 2, g["from_us"], 0
        raw = varint(g["from_seq"]) + varint(g["to_seq"]) + varint(g["points"]) + zigzag(g["to_us"] - g["from_us"])
        raw += varint(len(g["cause"])) + g["cause"].encode()
    else:
        flags, count, raw = 0, len(doc["points"]), columns(doc)
        base = doc["points"][0]["time_us"] if count else 0
    head = struct.pack("<4sBBBBQQqII", b"NXXB", 1, flags, doc["lane"], len(gateway), doc["epoch"], doc["seq"], base, count,
                       len(raw))
    data = head + gateway + raw
    return data + struct.pack("<I", crc32c(data))


def series(topic, device, tag, unit, kind):
    return {"topic": topic, "device_id": device, "tag_id": tag, "unit": unit, "data_type": kind}


def point(index, time_us, lag, quality, kind, value):
    return {"series": index, "time_us": time_us, "gateway_us": time_us + lag, "quality": quality, "type": kind,
            "value": value}


T = 1700000000000000
PLANT = [
    series("uns/plant/line1/temp", "plc-1", "temp", "°C", "double"),
    series("uns/plant/line1/tempo", "plc-1", "tempo", "°C", "double"),
    series("uns/plant/line1/running", "plc-1", "running", "", "bool"),
    series("uns/plant/line2/count", "plc-2", "count", "pcs", "int"),
    series("uns/plant/line2/total", "plc-2", "total", "pcs", "uint"),
    series("x", "plc-3", "state", "", "string"),
]
VECTORS = {
    "empty": {"gateway": "g", "epoch": 1, "lane": 0, "seq": 1, "series": [], "points": []},
    "one": {"gateway": "gw-1", "epoch": 77, "lane": 3, "seq": 123456789, "series": PLANT[:1],
            "points": [point(0, T, 1500, 192, "double", 84.25)]},
    "every_type": {"gateway": "gw-1", "epoch": 77, "lane": 0, "seq": 2, "series": PLANT, "points": [
        point(0, T, 0, 192, "double", -0.1), point(1, T, 0, 192, "double", 1e300), point(2, T, 0, 192, "bool", True),
        point(3, T, 0, 192, "int", -9223372036854775808), point(4, T, 0, 192, "uint", "18446744073709551615"),
        point(5, T, 0, 64, "string", "läuft"), point(5, T + 1, 0, 192, "string", "")]},
    "bad_and_odd_types": {"gateway": "gw-1", "epoch": 77, "lane": 0, "seq": 3, "series": PLANT[:4], "points": [
        point(0, T, 10, 24, "none", None), point(1, T - 5, 20, 192, "int", 7), point(2, T + 9, 10, 192, "bool", False),
        point(3, T + 9, 10, 192, "double", 0.5), point(0, T + 1000000, 10, 192, "double", 3.0)]},
    "runs": {"gateway": "gateway-with-a-name-of-sixty-four-bytes-which-is-the-longest-one-1", "epoch": 2**63 - 1,
             "lane": 255, "seq": 2**63 - 1, "series": PLANT[:2],
             "points": [point(i % 2, T + i // 8 * 1000, 100, 192, "double", float(i)) for i in range(40)]},
    "gap": {"gateway": "gw-1", "epoch": 77, "lane": 0, "seq": 9,
            "gap": {"from_seq": 5, "to_seq": 8, "points": 1234, "from_us": T, "to_us": T + 90000000, "cause": "DISK_FULL"}},
}
VECTORS["runs"]["gateway"] = VECTORS["runs"]["gateway"][:64]

for name, doc in VECTORS.items():
    (HERE / f"{name}.json").write_text(json.dumps(doc, indent=1, ensure_ascii=False) + "\n")
    (HERE / f"{name}.bin").write_bytes(record(doc))
    (HERE.parents[2] / "fuzz/corpus/batch_decode" / name).write_bytes(record(doc))
