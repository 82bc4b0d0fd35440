"""The Modbus drivers (modbus_probe) against more peers: pymodbus as a device on a line, jsmodbus, and our simulator with
every fault it has. Values of --type proof tell their own address: a value on a wrong tag cannot hide."""
import asyncio
import pathlib
import subprocess
import threading

import pytest
from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusSerialServer

from support.process import wait_until
from support.serial_pair import SerialPair
from support.simulator import Simulator

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("split", "late", "mute", "garbage", "truncated", "oversize", "duplicate", "stale", "fin", "rst", "wrong-tid",
         "wrong-unit", "wrong-fc", "wrong-count", "storm", "busy")


def probe(build_dir, script, *words, timeout_ms=2000) -> list[str]:
    """What modbus_probe printed. It ends early, with code 1, when the connection does."""
    done = subprocess.run([build_dir / "tests/interop/modbus_probe", *words, f"timeout_ms={timeout_ms}"],
                          input="\n".join(script) + "\n", capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout.splitlines()


# --- servers of others ---


class PymodbusOnLine:
    """pymodbus as unit 1 of a line, in a thread with its own event loop. Holding register n is n."""

    def __init__(self, path: pathlib.Path):
        self.device = ModbusDeviceContext(hr=ModbusSequentialDataBlock(1, list(range(1000))),
                                          co=ModbusSequentialDataBlock(1, [i % 3 == 0 for i in range(100)]))
        context = ModbusServerContext(devices={1: self.device}, single=False)
        self.loop, self.server = asyncio.new_event_loop(), None
        self.is_open = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.main(context, path),), daemon=True)
        self.thread.start()
        assert self.is_open.wait(10), "pymodbus opened the line"

    async def main(self, context, path):
        self.server = ModbusSerialServer(context, framer=FramerType.RTU, port=str(path), baudrate=19200)
        await self.server.listen()
        self.is_open.set()
        await self.server.serving

    def close(self):
        asyncio.run_coroutine_threadsafe(self.server.shutdown(), self.loop).result(10)


def test_pymodbus_on_a_line(build_dir, tmp_path):
    line = SerialPair(tmp_path)
    server = PymodbusOnLine(line.ends[1])
    script = [f"read hr{i} uint16" for i in range(300)] + [f"read coil:{i} bool" for i in range(30)]
    script += ["write hr500 uint32 70000", "write hr502 int16 -5", "write coil:50 bool true", "read hr500 uint32",
               "read hr502 int16", "read coil:50 bool"]
    lines = probe(build_dir, script, "protocol=modbus-rtu", f"serial_port={line.ends[0]}", "baud_rate=19200")
    server.close()
    line.close()
    for i in range(300):
        assert f"hr{i} good {i}" in lines
    for i in range(30):
        assert f"coil:{i} good {'true' if i % 3 == 0 else 'false'}" in lines
    assert {"hr500 good 70000", "hr502 good -5", "coil:50 good true"} <= set(lines)
    assert [int(v) for v in server.device.getValues(3, 500, 3)] == [1, 4464, 65531]


class Jsmodbus:
    def __init__(self, processes):
        modules = subprocess.run([ROOT / "tools/node-peers"], capture_output=True, text=True, timeout=120)
        assert modules.returncode == 0, modules.stderr
        self.process = processes.start("jsmodbus", "node", ROOT / "tests/interop/jsmodbus_server.js", 2000,
                                       env={"NODE_PATH": modules.stdout.strip()}, stdin=subprocess.PIPE)
        wait_until(lambda: "port " in self.process.text(), what="jsmodbus listening")
        self.port = int(self.process.text().split()[1])

    def ask(self, line: str) -> str:
        before = len(self.process.text().splitlines())
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()
        wait_until(lambda: len(self.process.text().splitlines()) > before, what=f"answer to {line!r}")
        return self.process.text().splitlines()[before]


def test_jsmodbus(processes, build_dir):
    server = Jsmodbus(processes)
    server.ask("set hr 0 " + " ".join(str(7 * i) for i in range(300)))
    server.ask("set ir 0 " + " ".join(str(3 * i) for i in range(100)))
    server.ask("set co 0 1 0 0 1 1 0 1 0 1 1")
    script = [f"read hr{i} uint16" for i in range(300)] + [f"read ir{i} uint16" for i in range(100)]
    script += [f"read coil:{i} bool" for i in range(10)]
    script += ["write hr500 float32 1.5", "write hr502 int16 -5", "write hr503 uint64 72623859790382856",
               "write coil:50 bool true", "read hr500 float32", "read hr502 int16", "read hr503 uint64", "read coil:50 bool"]
    lines = probe(build_dir, script, "host=127.0.0.1", f"port={server.port}")
    for i in range(300):
        assert f"hr{i} good {7 * i}" in lines
    for i in range(100):
        assert f"ir{i} good {3 * i}" in lines
    for i, bit in enumerate((1, 0, 0, 1, 1, 0, 1, 0, 1, 1)):
        assert f"coil:{i} good {'true' if bit else 'false'}" in lines
    assert {"hr500 good 1.5", "hr502 good -5", "hr503 good 72623859790382856", "coil:50 good true"} <= set(lines)
    assert server.ask("get hr 500 7") == "hr 500 16320 0 65531 258 772 1286 1800"
    assert server.ask("get co 50 1") == "co 50 1"


# --- our simulator ---


def check_proof(lines: list[str], unit: int = 1) -> int:
    """Every good value is of the register it was read from. Returns how many there were."""
    good = [line.split() for line in lines if " good " in line]
    for address, _, value in good:
        assert int(value) >> 16 == int(address[2:]) and int(value) >> 8 & 0xFF == unit, f"{address}: {int(value):08x}"
    return len(good)


SCRIPT = [f"read hr{2 * i} uint32" for i in range(100)]
SETTINGS = ("unit_id=2", "max_registers=20")


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp", "pty"])
def test_every_value_is_of_its_own_register(processes, build_dir, tmp_path, transport):
    options = {"tcp": (), "rtu-over-tcp": ("--framing", "rtu"), "pty": ("--pty", tmp_path / "line")}[transport]
    sim = Simulator(processes, build_dir, "--load", "3", "--tags", "100", "--type", "proof", *options)
    where = ("protocol=modbus-rtu", f"serial_port={tmp_path / 'line'}") if transport == "pty" else (
        "host=127.0.0.1", f"port={sim.port}", f"framing={'rtu' if options else 'tcp'}")
    lines = probe(build_dir, SCRIPT + ["again 9"], *where, *SETTINGS)
    assert check_proof(lines, unit=2) == 1000
    assert sim.drawn() == {"good": sim.requests()}


@pytest.mark.parametrize("kind", KINDS)
def test_faulty_replies_never_reach_a_wrong_tag(processes, build_dir, kind):
    """The probe does not connect again, so each run goes as far as the connection lives."""
    sim = Simulator(processes, build_dir, "--load", "3", "--tags", "100", "--type", "proof", f"--{kind}", "--fault-rate",
                    "300", "--late-ms", "150")
    good = 0
    for _ in range(5):
        lines = probe(build_dir, SCRIPT + ["again 1"], "host=127.0.0.1", f"port={sim.port}", *SETTINGS, timeout_ms=100)
        good += check_proof(lines, unit=2)
    faulty = sum(count for name, count in sim.drawn().items() if name != "good")
    assert faulty > 0
    assert good == 1000 if kind in ("split", "duplicate") else good < 1000


def test_a_line_that_is_pulled_out_takes_the_link_down(processes, build_dir, tmp_path):
    sim = Simulator(processes, build_dir, "--load", "3", "--tags", "100", "--type", "proof", "--pty", tmp_path / "line",
                    "--baud", "9600")
    running = subprocess.Popen([build_dir / "tests/interop/modbus_probe", "protocol=modbus-rtu",
                                f"serial_port={tmp_path / 'line'}", "timeout_ms=5000"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    running.stdin.write("\n".join(SCRIPT + ["again 50"]) + "\n")
    running.stdin.close()
    wait_until(lambda: sim.requests() > 1, what="a request on the line")
    sim.tell("unplug")
    text = running.stdout.read()
    assert running.wait(10) == 1
    assert "link down CLOSED" in text and "unplugged" in text
    sim.tell("plug")
    lines = probe(build_dir, SCRIPT[:10], "protocol=modbus-rtu", f"serial_port={tmp_path / 'line'}")
    assert check_proof(lines) == 10
