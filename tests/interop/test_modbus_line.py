"""The Modbus drivers on lines: RTU over a pair of ptys against libmodbus, RTU over TCP against pymodbus, function 23
against both. What goes over the line can be damaged on its way."""
import asyncio
import os
import random
import select
import subprocess
import threading
import tty

import pytest
from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from support.process import wait_until


class Line:
    """Two serial lines joined with each other: a is ours, b the device's. Damages one byte in `noise`, splits everything."""

    def __init__(self, noise=0):
        self.masters, self.paths, self.slaves = [], [], []
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(master)
            tty.setraw(slave)
            self.masters.append(master)
            self.slaves.append(slave)
            self.paths.append(os.ttyname(slave))
        self.noise, self.random, self.damaged = noise, random.Random(5), 0
        self.stop_read, self.stop_write = os.pipe()
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def carry(self):
        while True:
            ready = select.select([*self.masters, self.stop_read], [], [])[0]
            if self.stop_read in ready:
                return
            for master in ready:
                other = self.masters[1 - self.masters.index(master)]
                for byte in os.read(master, 4096):
                    if self.noise and self.random.randrange(self.noise) == 0:
                        byte ^= 1 << self.random.randrange(8)
                        self.damaged += 1
                    os.write(other, bytes([byte]))

    def close(self):
        os.write(self.stop_write, b"x")
        self.thread.join(10)
        for fd in [*self.masters, *self.slaves, self.stop_read, self.stop_write]:
            os.close(fd)


def probe(build_dir, script, *words, timeout_ms=2000):
    done = subprocess.run([build_dir / "tests/interop/modbus_probe", *words, f"timeout_ms={timeout_ms}"],
                          input="\n".join(script) + "\n", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def on_line(build_dir, line, script, *words, timeout_ms=2000):
    return probe(build_dir, script, "protocol=modbus-rtu", f"serial_port={line.paths[0]}", "baud_rate=115200", *words,
                 timeout_ms=timeout_ms)


@pytest.fixture
def line(request, processes, build_dir):
    joined = Line(getattr(request, "param", 0))
    server = processes.start("modbus_line_server", build_dir / "tests/interop/modbus_line_server", joined.paths[1])
    wait_until(lambda: "open" in server.text(), what="libmodbus listening on the line")
    yield joined
    joined.close()


def test_reads_and_writes_on_a_line(line, build_dir):
    script = [f"read hr{i} uint16" for i in range(300)] + [f"read ir{i} uint16" for i in range(130)]
    script += [f"read coil:{i} bool" for i in range(40)] + [f"read di{i} bool" for i in range(40)]
    script += ["write hr900 uint16 4711", "write hr901 float32 1.5", "write hr903.2 bool false", "write coil:901 bool true",
               "write hr910 uint32 70000 write_function=read_write", "read hr900 uint16", "read hr901 float32",
               "read hr903 uint16", "read coil:901 bool", "read hr910 uint32"]
    lines = on_line(build_dir, line, script)
    for i in range(300):
        assert f"hr{i} good {i}" in lines
    for i in range(130):
        assert f"ir{i} good {7 * i}" in lines
    for i in range(40):
        assert f"coil:{i} good {'true' if i % 3 == 0 else 'false'}" in lines
        assert f"di{i} good {'true' if i % 3 == 0 else 'false'}" in lines
    for text in ("hr900 good 4711", "hr901 good 1.5", f"hr903 good {903 & ~4}", "coil:901 good true", "hr910 good 70000"):
        assert text in lines


def test_absent_registers_on_a_line(line, build_dir):
    lines = on_line(build_dir, line, [f"read hr{i} uint16" for i in range(990, 1005)] + ["again 1"])
    assert sum("good" in text for text in lines) == 20 and sum("bad ADDRESS" in text for text in lines) == 10
    assert any(text.startswith("learned v1") and "h1000+1:2" in text for text in lines)


def test_absent_unit_is_a_timeout(line, build_dir):
    lines = on_line(build_dir, line, ["read hr1 uint16"], "unit_id=9", timeout_ms=300)
    assert lines[0].startswith("hr1 bad TIMEOUT")


@pytest.mark.parametrize("line", [400], indirect=True)
def test_noise_makes_values_bad_but_never_wrong(line, build_dir):
    lines = on_line(build_dir, line, [f"read hr{i} uint16" for i in range(100)] + ["again 60"], "max_registers=10",
                    timeout_ms=400)
    results = [text.split() for text in lines if text.startswith("hr")]
    good = [words for words in results if words[1] == "good"]
    assert line.damaged > 10 and len(good) < len(results)
    assert len(good) > len(results) / 2
    assert all(words[0] == f"hr{words[2]}" for words in good)


class PymodbusOverTcp:
    """pymodbus as a device behind a transparent converter, in a thread with its own event loop."""

    def __init__(self, framer):
        device = ModbusDeviceContext(hr=ModbusSequentialDataBlock(1, list(range(1000))))
        self.context, self.framer = ModbusServerContext(devices=device, single=True), framer
        self.loop, self.server, self.port = asyncio.new_event_loop(), None, 0
        threading.Thread(target=self.loop.run_until_complete, args=(self.main(),), daemon=True).start()
        wait_until(lambda: self.port, what="pymodbus listening")

    async def main(self):
        self.server = ModbusTcpServer(self.context, framer=self.framer, address=("127.0.0.1", 0))
        await self.server.listen()
        self.port = self.server.transport.sockets[0].getsockname()[1]
        await self.server.serving

    def close(self):
        asyncio.run_coroutine_threadsafe(self.server.shutdown(), self.loop).result(10)


@pytest.mark.parametrize("framer, framing", [(FramerType.RTU, "rtu"), (FramerType.SOCKET, "tcp")])
def test_pymodbus_in_both_framings(build_dir, framer, framing):
    server = PymodbusOverTcp(framer)
    script = [f"read hr{i} uint16" for i in range(300)] + [
        "write hr500 uint32 70000 write_function=read_write", "write hr502 int16 -5", "read hr500 uint32", "read hr502 int16"]
    lines = probe(build_dir, script, "host=127.0.0.1", f"port={server.port}", f"framing={framing}")
    server.close()
    for i in range(300):
        assert f"hr{i} good {i}" in lines
    assert "hr500 good 70000" in lines and "hr502 good -5" in lines
