"""The Modbus driver (modbus_probe) against libmodbus (modbus_server) and pymodbus, and our simulator against mbpoll and
pymodbus. Values are packed here with struct, by the meaning of the byte order's letters: no code of the product."""
import asyncio
import math
import shutil
import struct
import subprocess
import threading

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from support.process import wait_until

FOUR, EIGHT = ("ABCD", "CDAB", "BADC", "DCBA"), ("ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC",
                                                 "GHEFCDAB", "HGFEDCBA")
# type, struct format, values, byte orders
TYPES = [
    ("int16", ">h", (-32768, -2, 0, 32767), ("AB", "BA")),
    ("uint16", ">H", (0, 1, 65535), ("AB", "BA")),
    ("int32", ">i", (-2147483648, -70000, 2147483647), FOUR),
    ("uint32", ">I", (0, 305419896, 4294967295), FOUR),
    ("float32", ">f", (-1.5, 0.0, 3.1415927410125732, 1.0e30), FOUR),
    ("int64", ">q", (-9223372036854775808, -2, 9223372036854775807), EIGHT),
    ("uint64", ">Q", (0, 72623859790382856, 18446744073709551615), EIGHT),
    ("float64", ">d", (-1e300, 0.1, 12345.678901), EIGHT),
]


def wire_registers(packed: bytes, order: str) -> list[int]:
    """The registers in which the big-endian bytes of packed lie in this order: order[i] says which byte is i-th."""
    data = bytes(packed[ord(letter) - ord("A")] for letter in order)
    return [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]


def all_cases():
    """(address, type, order, value, registers): every type in every order, one behind the other."""
    at = 10
    for name, form, values, orders in TYPES:
        for order in orders:
            for value in values:
                registers = wire_registers(struct.pack(form, value), order)
                yield at, name, order, value, registers
                at += len(registers)


def is_same(text: str, value) -> bool:
    return math.isclose(float(text), value, rel_tol=1e-7) if isinstance(value, float) else int(text) == value


class Probe:
    """Runs modbus_probe over a script and keeps what it printed, by address."""

    def __init__(self, build_dir, port, script, **settings):
        words = ["host=127.0.0.1", f"port={port}"] + [f"{k}={v}" for k, v in settings.items() if k != "timeout_ms"]
        words += [f"timeout_ms={settings['timeout_ms']}"] if "timeout_ms" in settings else []
        self.done = subprocess.run([build_dir / "tests/interop/modbus_probe", *words], input="\n".join(script) + "\n",
                                   capture_output=True, text=True, timeout=60)
        self.lines = self.done.stdout.splitlines()
        self.result = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in self.lines if " " in line}
        assert self.done.returncode in (0, 1), self.done.stderr

    def good(self, address: str) -> str:
        word, value = self.result[address].split(" ", 1)
        assert word == "good", f"{address}: {self.result[address]}"
        return value

    def counter(self, name: str) -> int:
        words = self.lines[-1].split()
        return int(words[words.index(name) + 1])


class LibmodbusServer:
    def __init__(self, processes, build_dir, elements=65536):
        self.process = processes.start("modbus_server", build_dir / "tests/interop/modbus_server", 0, elements,
                                       stdin=subprocess.PIPE)
        wait_until(lambda: "port " in self.process.text(), what="modbus_server listening")
        self.port = int(self.process.text().split()[1])

    def answers(self) -> list[str]:
        return [line for line in self.process.text().splitlines() if not line.startswith(("write ", "port "))]

    def ask(self, line: str) -> str:
        before = len(self.answers())
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()
        wait_until(lambda: len(self.answers()) > before, what=f"answer to {line!r}")
        return self.answers()[before]

    def set(self, table, address, values):
        assert self.ask(f"set {table} {address} {' '.join(str(v) for v in values)}") == "ok"

    def get(self, table, address, count=1) -> list[int]:
        return [int(word) for word in self.ask(f"get {table} {address} {count}").split()[2:]]


class PymodbusServer:
    """pymodbus in a thread with its own event loop."""

    def __init__(self, elements=2000):
        # The block starts at 1: pymodbus adds one to every wire address.
        self.device = ModbusDeviceContext(**{table: ModbusSequentialDataBlock(1, [0] * elements)
                                             for table in ("di", "co", "ir", "hr")})
        self.loop, self.server, self.port = asyncio.new_event_loop(), None, 0
        threading.Thread(target=self.loop.run_until_complete, args=(self.main(),), daemon=True).start()
        wait_until(lambda: self.port, what="pymodbus listening")

    async def main(self):
        self.server = ModbusTcpServer(ModbusServerContext(devices=self.device, single=True), address=("127.0.0.1", 0))
        await self.server.listen()
        self.port = self.server.transport.sockets[0].getsockname()[1]
        await self.server.serving

    CODES = {"co": 1, "di": 2, "hr": 3, "ir": 4}

    def set(self, table, address, values):
        self.device.setValues(self.CODES[table], address, list(values))

    def get(self, table, address, count=1) -> list[int]:
        return [int(v) for v in self.device.getValues(self.CODES[table], address, count)]

    def close(self):
        asyncio.run_coroutine_threadsafe(self.server.shutdown(), self.loop).result(10)


@pytest.fixture(params=["libmodbus", "pymodbus"])
def server(request, processes, build_dir):
    if request.param == "libmodbus":
        if not (build_dir / "tests/interop/modbus_server").exists():
            pytest.fail("modbus_server was not built: install libmodbus-dev")
        yield LibmodbusServer(processes, build_dir)
        return
    running = PymodbusServer()
    yield running
    running.close()


def check_reads(server, build_dir, **settings):
    cases = list(all_cases())
    for at, _, _, _, registers in cases:
        server.set("hr", at, registers)
        server.set("ir", at, registers)
    probe = Probe(build_dir, server.port, [f"read {table}:{at} {name} byte_order={order}"
                                           for at, name, order, _, _ in cases for table in ("holding", "input")],
                  **settings)
    for at, name, order, value, _ in cases:
        for table in ("holding", "input"):
            text = probe.good(f"{table}:{at}")
            assert is_same(text, value), f"{table} {name} {order} at {at}: {text} is not {value}"
    assert probe.counter("requests") < len(cases), "neighbours must share requests"


def test_reads_every_type_in_every_order(server, build_dir):
    check_reads(server, build_dir)


def test_reads_with_many_requests_on_the_way(processes, build_dir):
    """libmodbus only: pymodbus answers one of several requests that arrive together, which is why pipeline is 1 unless
    a person says otherwise."""
    check_reads(LibmodbusServer(processes, build_dir), build_dir, pipeline=8, max_registers=20)


def test_writes_every_type_in_every_order(server, build_dir):
    cases = list(all_cases())
    probe = Probe(build_dir, server.port,
                  [f"write holding:{at} {name} {value!r} byte_order={order}" for at, name, order, value, _ in cases])
    for at, name, order, value, registers in cases:
        assert probe.result[f"holding:{at}"] == "written"
        assert server.get("hr", at, len(registers)) == registers, f"{name} {order} {value}"


@pytest.mark.parametrize("multiple", ["false", "true"])
def test_bits(server, build_dir, multiple):
    pattern = [(i * 7) % 3 == 0 for i in range(40)]
    server.set("co", 5, [int(b) for b in pattern])
    server.set("di", 13, [int(b) for b in pattern])
    server.set("hr", 3, [0b1010_0000_0000_0101])
    script = [f"read coil:{5 + i} bool" for i in range(40)] + [f"read discrete:{13 + i} bool" for i in range(40)]
    script += [f"read hr3.{bit} bool" for bit in range(16)]
    script += ["write coil:100 bool true", "write coil:101 bool false", "write 40051 int16 -77"]
    probe = Probe(build_dir, server.port, script, write_multiple=multiple)
    for i, on in enumerate(pattern):
        assert probe.good(f"coil:{5 + i}") == str(on).lower()
        assert probe.good(f"discrete:{13 + i}") == str(on).lower()
    assert [probe.good(f"hr3.{bit}") for bit in range(16)] == [
        "true" if bit in (0, 2, 13, 15) else "false" for bit in range(16)]
    assert server.get("co", 100, 2) == [1, 0]
    assert server.get("hr", 50) == [65536 - 77]


def test_bit_of_a_register_is_written_alone(server, build_dir):
    server.set("hr", 30, [0x00F0])
    Probe(build_dir, server.port, ["write hr30.0 bool true", "write hr30.15 bool true", "write hr30.4 bool false"])
    assert server.get("hr", 30) == [0x80E1]


def test_strings_both_ways(server, build_dir):
    probe = Probe(build_dir, server.port, [
        "write hr200 string Lot-42 register_count=5",
        "write hr210 string Lot-42 register_count=5 byte_order=BA",
        "read holding:200 string register_count=5",
        "read holding:210 string register_count=5 byte_order=BA",
    ])
    assert probe.good("holding:200") == probe.good("holding:210") == "'Lot-42'"
    assert server.get("hr", 200, 5) == [0x4C6F, 0x742D, 0x3432, 0, 0]
    assert server.get("hr", 210, 5) == [0x6F4C, 0x2D74, 0x3234, 0, 0]


def test_nan_is_bad_and_never_a_number(server, build_dir):
    server.set("hr", 20, [0x7FC0, 0, 0x7F80, 0])
    probe = Probe(build_dir, server.port, ["read hr20 float32", "read hr22 float32"])
    assert probe.result["hr20"] == probe.result["hr22"] == "bad quality 16"


def test_missing_registers_make_only_their_tags_bad(processes, build_dir):
    server = LibmodbusServer(processes, build_dir, elements=50)
    server.set("hr", 0, range(50))
    script = [f"read holding:{i} uint16" for i in range(60)] + ["again 1"]
    probe = Probe(build_dir, server.port, script)
    for i in range(50):
        assert probe.good(f"holding:{i}") == str(i)
    for i in range(50, 60):
        assert "ADDRESS" in probe.result[f"holding:{i}"] and "exception 2" in probe.result[f"holding:{i}"]
    assert probe.counter("splits") > 0
    once = Probe(build_dir, server.port, script[:-1])
    assert probe.counter("requests") == once.counter("requests") + 1, "the second poll has learned the holes"


def test_server_that_hangs_up(processes, build_dir):
    server = LibmodbusServer(processes, build_dir)
    server.process.kill()
    probe = Probe(build_dir, server.port, ["read hr0 uint16"])
    assert probe.done.returncode == 1 and "link down REFUSED" in probe.done.stdout


# --- the simulator, seen by programs of others ---


class Simulator:
    def __init__(self, processes, build_dir, *options):
        self.process = processes.start("sim", build_dir / "nexus", "sim", *options)
        wait_until(lambda: "simulating" in self.process.text() or not self.process.is_running(), what="sim listening")
        self.port = int(self.process.text().split("ports ")[1].split()[0])


def mbpoll(port, *options) -> dict[int, str]:
    program = shutil.which("mbpoll") or pytest.fail("mbpoll is missing")
    done = subprocess.run([program, "-m", "tcp", "-p", str(port), "-0", "-1", *options], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return {int(line[1:line.index("]")]): line.split()[1] for line in done.stdout.splitlines() if line.startswith("[")}


def test_mbpoll_reads_and_writes_the_simulator(processes, build_dir):
    sim = Simulator(processes, build_dir, "--one-port")
    raw = mbpoll(sim.port, "-a", "1", "-t", "3:float", "-B", "-r", "0", "-c", "2", "127.0.0.1")
    assert 60 < float(raw[0]) < 80 and abs(float(raw[2]) / 60 * 100 - float(raw[0])) < 0.5
    mbpoll(sim.port, "-a", "1", "-t", "4:float", "-B", "-r", "0", "127.0.0.1", "61.5")
    assert mbpoll(sim.port, "-a", "1", "-t", "4:float", "-B", "-r", "0", "127.0.0.1")[0] == "61.5"
    mbpoll(sim.port, "-a", "1", "-t", "4:float", "-B", "-r", "0", "127.0.0.1", "120")
    assert mbpoll(sim.port, "-a", "1", "-t", "4:float", "-B", "-r", "0", "127.0.0.1")[0] == "95", "taken as the bound"
    mbpoll(sim.port, "-a", "4", "-t", "0", "-r", "0", "127.0.0.1", "0")
    speed = lambda: float(mbpoll(sim.port, "-a", "4", "-t", "3:float", "-B", "-r", "2", "127.0.0.1")[2])  # noqa: E731
    wait_until(lambda: speed() < 100, 20, "the filler running down after its enable was taken away", 0.3)


def test_pymodbus_agrees_with_the_simulator(processes, build_dir):
    sim = Simulator(processes, build_dir, "--load", "3", "--tags", "200")
    with ModbusTcpClient("127.0.0.1", port=sim.port) as client:
        first = client.read_holding_registers(10, count=100, device_id=2)
        second = client.read_holding_registers(10, count=100, device_id=2)
        assert first.registers == [0] * 100 or first.registers == [1] * 100
        assert [b - a for a, b in zip(first.registers, second.registers)] == [1] * 100
        assert client.read_holding_registers(150, count=100, device_id=2).exception_code == 2
        assert client.read_holding_registers(0, count=1, device_id=9).exception_code == 11
        assert client.write_registers(0, [7, 8, 9], device_id=3).isError() is False
        assert client.mask_write_register(address=0, and_mask=0xFFF0, or_mask=2, device_id=3).isError() is False
        assert client.read_holding_registers(0, count=3, device_id=3).registers[0] in (2, 3)


def test_load_counts_every_read(processes, build_dir):
    sim = Simulator(processes, build_dir, "--load", "1", "--tags", "1000")
    polls = 100
    probe = Probe(build_dir, sim.port, [f"read hr{i} uint16" for i in range(1000)] + [f"again {polls - 1}"], pipeline=4)
    seen = [int(line.split()[2]) for line in probe.lines if line.startswith("hr500 ")]
    assert seen == list(range(seen[0], seen[0] + polls)), "each poll saw each tag exactly once"
    assert probe.counter("requests") == polls * 8


@pytest.mark.parametrize("options, settings, expected", [
    (["--split"], {}, "good"),
    (["--delay-ms", "300"], {}, "good"),
    (["--delay-ms", "300"], {"timeout_ms": 100}, "bad TIMEOUT"),
    (["--mute"], {"timeout_ms": 100}, "bad TIMEOUT"),
    (["--wrong-tid"], {"timeout_ms": 100}, "bad TIMEOUT"),
    (["--refuse"], {}, None),
    (["--garbage"], {"timeout_ms": 100}, "bad"),
    (["--exception", "1"], {}, "good"),
])
def test_faults_of_the_simulator_are_faults_of_the_tag(processes, build_dir, options, settings, expected):
    sim = Simulator(processes, build_dir, "--load", "1", *options)
    probe = Probe(build_dir, sim.port, ["read hr0 uint16", "read hr1 uint16", "read hr2 uint16"], **settings)
    if expected is None:
        assert "link down CLOSED" in probe.done.stdout
        return
    assert probe.result["hr0"].startswith(expected), probe.done.stdout
    assert probe.result["hr2"].startswith(expected), probe.done.stdout
    assert probe.result["hr1"].startswith("bad ADDRESS" if "--exception" in options else expected)
