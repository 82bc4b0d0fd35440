"""The S7 driver (modbus_probe protocol=s7) against the native snap7 server, python-snap7's server and our simulator with
limits and faults. Values are packed here with struct and by hand, by the manuals of the types: no code of the product."""
import math
import struct
import subprocess

import pytest

from support.s7 import PythonSnap7Server, S7Simulator, Snap7Server


class Probe:
    """Runs the probe over a script and keeps what it printed, by address."""

    def __init__(self, build_dir, port, script, **settings):
        timeout_ms = settings.pop("timeout_ms", 2000)
        words = ["protocol=s7", "host=127.0.0.1", f"port={port}"] + [f"{key}={value}" for key, value in settings.items()]
        self.done = subprocess.run([build_dir / "tests/interop/modbus_probe", *words, f"timeout_ms={timeout_ms}"],
                                   input="\n".join(script) + "\n", capture_output=True, text=True, timeout=120)
        self.lines = self.done.stdout.splitlines()
        self.result = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in self.lines if " " in line}
        assert self.done.returncode in (0, 1), self.done.stderr

    def good(self, address: str) -> str:
        word, _, value = self.result[address].partition(" ")
        assert word == "good", f"{address}: {self.result[address]}"
        return value

    def bad(self, address: str) -> str:
        word, _, reason = self.result[address].partition(" ")
        assert word == "bad", f"{address}: {self.result[address]}"
        return reason

    def counter(self, name: str) -> int:
        words = self.lines[-1].split()
        return int(words[words.index(name) + 1])


# Addresses of the same place in DB1, in every dialect; data_type; byte; what lies there; the value.
TYPES = [
    (["DB1.DBX0.3", "DB1,X0.3", "%DB1.DBX0.3:BOOL", "DB1:0.3:BOOL"], "bool", 0, "08", True),
    (["DB1.DBX0.4", "DB1,X0.4"], "bool", 0, "08", False),
    (["DB1.DBB2", "DB1,BYTE2", "DB1.DBB2:BYTE", "DB1.DBB2:USINT"], "uint8", 2, "c8", 200),
    (["DB1.DBB3:SINT", "DB1,SI3"], "int8", 3, "9c", -100),
    (["DB1.DBW4", "DB1,WORD4", "DB1.DBW4:UINT", "DB1:4.0:WORD"], "uint16", 4, "beef", 0xBEEF),
    (["DB1.DBW6:INT", "DB1,INT6", "DB1,I6", "%DB1.DBW6:INT"], "int16", 6, "cfc7", -12345),
    (["DB1.DBD8", "DB1,DWORD8", "DB1.DBD8:UDINT"], "uint32", 8, "deadbeef", 0xDEADBEEF),
    (["DB1.DBD12:DINT", "DB1,DINT12", "DB1,DI12"], "int32", 12, "88ca6c00", -2000000000),
    (["DB1.DBD16:REAL", "DB1,REAL16", "DB1,R16", "%DB1:16.0:REAL"], "float32", 16, "bfc00000", -1.5),
    (["DB1.DBL20:LREAL", "DB1,LREAL20", "DB1,LR20"], "float64", 20, "40c81cd6e63a5c1c", 12345.678901),
    (["DB1.DBL28:LINT", "DB1,LI28"], "int64", 28, "ffe00000000003e0", -9007199254740000),
    (["DB1.DBL36:ULINT", "DB1,ULI36"], "uint64", 36, "ffffffffffffffff", 18446744073709551615),
    (["DB1.DBB44:CHAR[3]", "DB1.DBB44:CHAR(3)"], "string", 44, "414243", "ABC"),
    (["DB1.DBB48:STRING[20]", "DB1,S48.20", "DB1,STRING48.20"], "string", 48, "140548656c6c6f" + "00" * 15, "Hello"),
    (["DB1.DBB70:WSTRING[4]"], "string", 70, "00040002004100e9" + "0000" * 2, "A\u00e9"),
    (["DB1.DBW82:S5TIME"], "int32", 82, "2123", 123000),
    (["DB1.DBD84:TIME"], "int32", 84, "ffffec78", -5000),
    (["DB1.DBD88:TOD"], "uint32", 88, "05265bff", 86399999),
    (["DB1.DBW92:DATE"], "string", 92, "337e", "2026-02-03"),
    (["DB1.DBB94:DT", "DB1,DT94", "DB1.DBB94:DATE_AND_TIME"], "string", 94, "2602030405067893", "2026-02-03T04:05:06.789"),
    (["DB1.DBB102:DTL", "DB1,DTL102"], "string", 102, "07ea0203030405062f072f40", "2026-02-03T04:05:06.789"),
]
CASES = [(address, *row[1:]) for row in TYPES for address in row[0]]


def is_same(text: str, value) -> bool:
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, str):  # moments: zone and trailing zeros are the product's to choose
        return text.strip("'").startswith(value)
    return math.isclose(float(text), value, rel_tol=1e-7) if isinstance(value, float) else int(text) == value


class PythonPeer(PythonSnap7Server):
    """With get() and set() like the others."""

    def __init__(self):
        super().__init__({("DB", number): bytearray(2048) for number in (1, 2)} | {
            ("M", 0): bytearray(256), ("I", 0): bytearray(256), ("Q", 0): bytearray(256)})

    def set(self, area, number, byte, data):
        self.areas[area, number][byte:byte + len(data)] = data

    def get(self, area, number, byte, count):
        return bytes(self.areas[area, number][byte:byte + count])


@pytest.fixture
def snap7_server(processes):
    server = Snap7Server(processes)
    for area, number, size in (("DB", 1, 2048), ("DB", 2, 2048), ("M", 0, 256), ("I", 0, 256), ("Q", 0, 256),
                               ("T", 0, 64), ("C", 0, 64)):
        server.area(area, number, size)
    return server


@pytest.fixture
def python_server():
    server = PythonPeer()
    yield server
    server.close()


@pytest.fixture
def simulator(processes, build_dir):
    return S7Simulator(processes, build_dir)


@pytest.fixture(params=["snap7_server", "python_server", "simulator"])
def cpu(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["snap7_server", "simulator"])
def strict_cpu(request):
    """Those that refuse what a CPU refuses."""
    return request.getfixturevalue(request.param)


def fill_provenance(server, number: int, size: int) -> None:
    server.set("DB", number, 0, struct.pack(f">{size // 2}H", *(at + 4099 * number for at in range(size // 2))))


def provenance(number: int, byte: int) -> int:
    return byte // 2 + 4099 * number & 0xFFFF


def assert_reads(build_dir, server, wanted: dict[str, tuple]) -> None:
    """wanted: address -> (data_type, value)."""
    probe = Probe(build_dir, server.port, [f"read {address} {kind}" for address, (kind, _) in wanted.items()])
    for address, (_, value) in wanted.items():
        assert is_same(probe.good(address), value), (address, probe.good(address))


# --- every type, area and dialect ---


def test_reads_every_type_in_every_dialect(cpu, build_dir):
    for _, _, byte, raw, _ in TYPES:
        cpu.set("DB", 1, byte, bytes.fromhex(raw))
    probe = Probe(build_dir, cpu.port, [f"read {address} {data_type}" for address, data_type, *_ in CASES])
    for address, _, _, _, value in CASES:
        assert is_same(probe.good(address), value), (address, probe.good(address), value)


def test_writes_every_type(cpu, build_dir):
    """Each value of the table; the bytes of the table come out, and the next value is not touched."""
    rows = [(addresses[0], data_type, byte, bytes.fromhex(raw), f"{value}Z" if "T0" in str(value) else value)
            for addresses, data_type, byte, raw, value in TYPES if data_type != "bool"]
    cpu.set("DB", 1, 48, b"\x14")  # the capacity of a string is the CPU's and must stay
    cpu.set("DB", 1, 70, b"\x00\x04")
    probe = Probe(build_dir, cpu.port, [f"write {address} {data_type} {value}" for address, data_type, _, _, value in rows])
    for address, _, byte, raw, value in rows:
        assert probe.result[address].startswith("written"), (address, probe.result[address])
        got = cpu.get("DB", 1, byte, len(raw))
        assert got == raw, address


def test_writes_single_bits_without_their_neighbours(strict_cpu, build_dir):
    strict_cpu.set("DB", 1, 10, b"\x81")
    strict_cpu.set("M", 0, 3, b"\xff")
    script = [f"write DB1.DBX10.{bit} bool {'false' if bit in (0, 7) else 'true'}" for bit in range(8)]
    probe = Probe(build_dir, strict_cpu.port, script + ["write M3.5 bool false"])
    assert all(line.endswith("written") for line in probe.lines[:9]), probe.lines
    assert strict_cpu.get("DB", 1, 9, 3) == b"\0\x7e\0" and strict_cpu.get("M", 0, 3, 1) == b"\xdf"


def test_reads_the_other_areas(strict_cpu, build_dir):
    strict_cpu.set("M", 0, 4, struct.pack(">f", 2.5))
    strict_cpu.set("I", 0, 2, b"\x10")
    strict_cpu.set("Q", 0, 6, struct.pack(">h", -7))
    wanted = {"MD4:REAL": ("float32", 2.5), "MR4": ("float32", 2.5), "I2.4": ("bool", True), "E2.4": ("bool", True),
              "QW6:INT": ("int16", -7), "AW6:INT": ("int16", -7)}
    assert_reads(build_dir, strict_cpu, wanted)


def test_reads_timers_and_counters(simulator, build_dir):
    """The native server halves their numbers and python-snap7 has none: only our simulator can judge."""
    simulator.set("C", 0, 10, bytes.fromhex("0321"))
    simulator.set("T", 0, 12, bytes.fromhex("2015"))
    assert_reads(build_dir, simulator, {"C5": ("uint16", 321), "Z5": ("uint16", 321), "T6": ("uint32", 15000)})


# --- refusals cost only their tags ---


def test_a_missing_block_costs_only_its_tags(strict_cpu, build_dir):
    fill_provenance(strict_cpu, 1, 200)
    script = [f"read DB1.DBW{byte} uint16" for byte in range(0, 200, 20)]
    script[3:3] = ["read DB9.DBW0 uint16", "read DB1.DBW60000 uint16"]
    probe = Probe(build_dir, strict_cpu.port, script + ["again 3"])
    assert "0A" in probe.bad("DB9.DBW0") and "05" in probe.bad("DB1.DBW60000")
    for byte in range(0, 200, 20):
        assert int(probe.good(f"DB1.DBW{byte}")) == provenance(1, byte)


def test_a_hole_inside_a_merged_block_costs_only_its_tag(simulator, build_dir):
    """One bad word of 500 that are read in a few long items."""
    simulator.tell("provenance")
    simulator.tell("hole 1 500 501 3")
    probe = Probe(build_dir, simulator.port, [f"read DB1.DBW{byte} uint16" for byte in range(0, 1000, 2)] + ["again 12"])
    assert "03" in probe.bad("DB1.DBW500")
    for byte in range(0, 1000, 2):
        if byte != 500:
            assert int(probe.good(f"DB1.DBW{byte}")) == provenance(1, byte)


def test_the_reasons_name_the_switch_in_the_cpu(simulator, build_dir):
    simulator.tell("put-get off")
    assert "PUT/GET" in Probe(build_dir, simulator.port, ["read DB1.DBW0 int16"]).bad("DB1.DBW0")
    simulator.tell("put-get on")
    simulator.tell("password on")
    assert "password" in Probe(build_dir, simulator.port, ["read DB1.DBW0 int16"]).bad("DB1.DBW0").lower()
    simulator.tell("password off")
    simulator.tell("hole 2 0 9 10")
    probe = Probe(build_dir, simulator.port, ["read DB1.DBW0 int16", "read DB2.DBW0 int16"])
    assert probe.good("DB1.DBW0") == "0" and "ptimized" in probe.bad("DB2.DBW0")


def test_writes_tell_why_they_fail(simulator, build_dir):
    simulator.tell("db 2 readonly")
    probe = Probe(build_dir, simulator.port, ["write DB2.DBW0 int16 5", "write DB9.DBW0 int16 5", "write DB1.DBW0 int16 5"])
    assert "03" in probe.result["DB2.DBW0"] and "0A" in probe.result["DB9.DBW0"]
    assert probe.result["DB1.DBW0"].startswith("written") and simulator.get("DB", 1, 0, 2) == b"\0\5"


# --- limits ---


def test_snap7_truncates_to_twenty_items_and_nothing_is_lost(snap7_server, build_dir):
    """Scattered words: snap7 answers 20 of 25 items and says that all is well."""
    fill_provenance(snap7_server, 1, 2048)
    places = range(0, 2000, 40)
    probe = Probe(build_dir, snap7_server.port, [f"read DB1.DBW{byte} uint16" for byte in places], gap=0)
    for byte in places:
        assert int(probe.good(f"DB1.DBW{byte}")) == provenance(1, byte)


@pytest.mark.parametrize("model", ["s7-300", "s7-400", "s7-1200", "s7-1500"])
@pytest.mark.parametrize("step", [2, 40])
def test_keeps_within_the_limits_of_every_model(processes, build_dir, model, step):
    """Dense and scattered words of 4 blocks: all right, and no message is refused for its size, items or number."""
    simulator = S7Simulator(processes, build_dir, "--s7-model", model, "--s7-any-slot", "--s7-provenance")
    places = [(db, byte) for db in (1, 2, 3, 4) for byte in range(0, 2000, step)]
    probe = Probe(build_dir, simulator.port, [f"read DB{db}.DBW{byte} uint16" for db, byte in places] + ["again 2"])
    for db, byte in places:
        assert int(probe.good(f"DB{db}.DBW{byte}")) == provenance(db, byte)
    assert simulator.stats()["refused"] == 0


def test_finds_the_slot_by_itself(processes, build_dir):
    for slot in (0, 1, 2, 3):
        simulator = S7Simulator(processes, build_dir, "--s7-slot", slot)
        assert Probe(build_dir, simulator.port, ["read DB1.DBW0 int16"]).good("DB1.DBW0") == "0"


def test_one_connection_is_enough(processes, build_dir):
    simulator = S7Simulator(processes, build_dir, "--s7-connections", 1)
    probe = Probe(build_dir, simulator.port, ["read DB1.DBW0 int16", "write DB1.DBW2 int16 7", "again 5"], s7_slot=1)
    assert probe.good("DB1.DBW0") == "0"


# --- faults ---


@pytest.mark.parametrize("fault", ["split on", "tpdu-bytes 8", "tpdu-bytes 100", "coalesce-ms 20", "delay-ms 50",
                                   "duplicate on"])
def test_takes_what_is_odd_but_whole(simulator, build_dir, fault):
    simulator.tell("provenance")
    simulator.tell(f"fault {fault}")
    places = range(0, 120, 4)
    probe = Probe(build_dir, simulator.port, [f"read DB2.DBW{byte} uint16" for byte in places] + ["again 2"])
    for byte in places:
        assert int(probe.good(f"DB2.DBW{byte}")) == provenance(2, byte)


BROKEN = ["garbage", "truncated", "cut", "wrong-ref", "wrong-count", "stale", "late", "mute", "rst", "fin"]


@pytest.mark.parametrize("fault", BROKEN)
def test_no_value_on_a_wrong_tag(processes, build_dir, fault):
    """Every third reply is broken: a value is right or the tag is bad."""
    simulator = S7Simulator(processes, build_dir, "--s7-model", "s7-1200", "--s7-provenance")
    simulator.tell(f"fault {fault} on")
    simulator.tell("fault fault-rate 333")
    simulator.tell("fault late-ms 120")
    places = [(db, byte) for db in (1, 2, 3) for byte in range(0, 600, 30)]
    script = [f"read DB{db}.DBW{byte} uint16" for db, byte in places] + ["again 3"]
    for _ in range(8):
        probe = Probe(build_dir, simulator.port, script, timeout_ms=100, handshake_timeout="200ms", s7_slot=1)
        for db, byte in places:
            word, _, value = probe.result.get(f"DB{db}.DBW{byte}", "bad none").partition(" ")
            assert word == "bad" or int(value) == provenance(db, byte), f"DB{db}.DBW{byte}: {value}"
    assert simulator.drawn()[fault] > 0


def test_a_layout_change_is_seen_at_the_next_read(simulator, build_dir):
    simulator.tell("provenance")
    script = ["read DB1.DBW100 uint16", "read DB1.DBW3000 uint16", "read DB2.DBW0 uint16"]
    assert len([line for line in Probe(build_dir, simulator.port, script).lines if " good " in line]) == 3
    simulator.tell("db 1 1000")
    simulator.tell("db 2 0")
    probe = Probe(build_dir, simulator.port, script + ["again 2"])
    assert int(probe.good("DB1.DBW100")) == provenance(1, 100)
    assert "05" in probe.bad("DB1.DBW3000") and "0A" in probe.bad("DB2.DBW0")
    simulator.tell("db 1 full")
    simulator.tell("db 2 full")
    assert int(Probe(build_dir, simulator.port, script).good("DB1.DBW3000")) == provenance(1, 3000)


@pytest.mark.parametrize("fault", ["refuse", "half-open"])
def test_a_cpu_that_is_not_there_is_said_to_be(simulator, build_dir, fault):
    simulator.tell(f"fault {fault} on")
    probe = Probe(build_dir, simulator.port, ["read DB1.DBW0 int16"], handshake_timeout="200ms")
    assert probe.done.returncode == 1 and not [line for line in probe.lines if " good " in line]
