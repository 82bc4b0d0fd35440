"""The Modbus simulator (nexus sim): seen by mbpoll and pymodbus on TCP, RTU over TCP and RTU on a pty, and its faults,
byte by byte, on a socket of the test's own. The driver has no part in this."""
import contextlib
import shutil
import socket
import struct
import subprocess
import time

import pytest
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

from support.process import wait_until
from support.simulator import Simulator


def mbpoll(mode: str, where, *options, expect: int = 0) -> list[str]:
    """The values that mbpoll printed. mode: tcp or rtu."""
    program = shutil.which("mbpoll") or pytest.fail("mbpoll is missing")
    done = subprocess.run([program, "-m", mode, "-0", "-1", "-o", "0.5", *options, str(where)], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == expect, done.stdout + done.stderr
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("[")]


class Wire:
    """A Modbus TCP client that shows every byte."""

    def __init__(self, port: int, unit: int = 1):
        self.unit, self.tid = unit, 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send_read(self, address: int = 0, count: int = 2) -> None:
        self.tid += 1
        self.socket.sendall(struct.pack(">HHHBBHH", self.tid, 0, 6, self.unit, 3, address, count))

    def receive(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                break
            data += part
        return data

    def read(self, address: int = 0, count: int = 2) -> bytes:
        """The whole answer, 9 + 2 * count bytes when nothing is wrong."""
        self.send_read(address, count)
        head = self.receive(6)
        return head + self.receive(struct.unpack(">H", head[4:6])[0])

    def is_silent(self, seconds: float = 0.2) -> bool:
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)

    def close(self) -> None:
        self.socket.close()


def answer(tid: int, unit: int, address: int, reads: int) -> bytes:
    """Two registers of --type proof."""
    return struct.pack(">HHHBBBHBB", tid, 0, 7, unit, 3, 4, address, unit, reads)


@pytest.fixture
def simulator(processes, build_dir):
    return lambda *options: Simulator(processes, build_dir, "--load", "3", "--tags", "100", "--type", "proof", *options)


# --- clients of others ---


def test_mbpoll_on_tcp_and_rtu_sees_the_same(simulator, tmp_path):
    for mode, options, where in (("tcp", (), "127.0.0.1"), ("rtu", ("--pty", tmp_path / "line"), tmp_path / "line")):
        sim = simulator(*options)
        more = ("-p", str(sim.port)) if mode == "tcp" else ("-b", "19200", "-P", "none")
        for unit in (1, 3):
            values = mbpoll(mode, where, *more, "-a", str(unit), "-t", "4", "-r", "8", "-c", "4")
            assert values == ["8", str(unit << 8 | 1), "10", str(unit << 8 | 1)]
        if mode == "rtu":
            mbpoll(mode, where, *more, "-a", "9", "-t", "4", "-r", "0", expect=1)
        sim.process.stop()
        assert not (tmp_path / "line").is_symlink(), "the link goes with the simulator"


@pytest.mark.parametrize("kind", ["tcp", "rtu-over-tcp", "pty"])
def test_pymodbus_agrees_on_every_function(simulator, tmp_path, kind):
    sim = simulator(*{"tcp": (), "rtu-over-tcp": ("--framing", "rtu"), "pty": ("--pty", tmp_path / "line")}[kind])
    client = {
        "tcp": lambda: ModbusTcpClient("127.0.0.1", port=sim.port),
        "rtu-over-tcp": lambda: ModbusTcpClient("127.0.0.1", port=sim.port, framer=FramerType.RTU),
        "pty": lambda: ModbusSerialClient(str(tmp_path / "line"), baudrate=19200, timeout=2),
    }[kind]()
    with client:
        assert client.read_holding_registers(4, count=4, device_id=2).registers == [4, 0x201, 6, 0x201]
        assert client.write_register(4, 77, device_id=2).isError() is False
        assert client.write_registers(5, [1, 2, 3], device_id=2).isError() is False
        assert client.mask_write_register(address=5, and_mask=0xFFF0, or_mask=2, device_id=2).isError() is False
        both = client.readwrite_registers(read_address=40, read_count=2, write_address=40, values=[9, 9], device_id=3)
        assert both.registers == [40, 0x301], "function 23 writes first; the read then counts"
        assert client.read_holding_registers(198, count=3, device_id=2).exception_code == 2
        assert client.read_coils(0, count=1, device_id=2).exception_code == 2
        assert sim.requests() == 7


def test_pymodbus_reads_and_writes_bits(processes, build_dir):
    sim = Simulator(processes, build_dir, "--one-port")
    with ModbusTcpClient("127.0.0.1", port=sim.port) as client:
        assert client.read_coils(0, count=1, device_id=4).bits[0] is True, "the filler is enabled"
        assert client.write_coil(0, False, device_id=4).isError() is False
        assert client.read_coils(0, count=1, device_id=4).bits[0] is False
        assert client.write_coils(0, [True], device_id=4).isError() is False
        assert client.read_coils(0, count=1, device_id=4).bits[0] is True
        assert client.read_discrete_inputs(0, count=2, device_id=4).bits[:2] == [True, False]
        assert client.read_coils(0, count=0x7D0, device_id=4).exception_code == 2
        assert len(client.read_input_registers(0, count=4, device_id=4).registers) == 4


# --- a line ---


def test_a_pty_with_a_speed_takes_its_time(simulator, tmp_path):
    """8 bytes out, 255 back, 11 bits each at 9600 baud: 0.3 s; without a speed it takes a moment."""
    took = []
    for options in (("--baud", "9600"), ()):
        sim = simulator("--pty", tmp_path / "line", *options)
        with ModbusSerialClient(str(tmp_path / "line"), baudrate=9600, timeout=5) as client:
            began = time.monotonic()
            assert len(client.read_holding_registers(0, count=125, device_id=1).registers) == 125
            took.append(time.monotonic() - began)
        sim.process.stop()
    assert took[0] > 263 * 11 / 9600 > took[1]


def test_an_unplugged_line_hangs_up_and_comes_back(simulator, tmp_path):
    sim = simulator("--pty", tmp_path / "line")
    for _ in range(3):
        with (tmp_path / "line").open("rb", buffering=0) as line:
            sim.tell("unplug")
            with contextlib.suppress(OSError):  # EIO
                assert line.read(1) == b""
        assert not (tmp_path / "line").is_symlink()
        sim.tell("plug")
        assert mbpoll("rtu", tmp_path / "line", "-b", "19200", "-P", "none", "-t", "4", "-r", "0")[0] == "0"


def test_noise_on_the_line_is_passed_over(simulator, tmp_path):
    simulator("--pty", tmp_path / "line")
    with ModbusSerialClient(str(tmp_path / "line"), baudrate=19200, timeout=1, retries=0) as client:
        for noise in (b"\x01\x03\x00", b"\x00" * 40, bytes(range(256)) * 3, b"\x01\x03\x00\x00\x00\x02\xff\xff"):
            client.socket.write(noise)
            time.sleep(0.1)  # the silence that ends a frame
            assert client.read_holding_registers(2, count=1, device_id=1).registers == [2]


# --- faults, byte by byte ---


def test_replies_are_as_they_should_be_without_faults(simulator):
    wire = Wire(simulator().port)
    assert [wire.read() for _ in range(3)] == [answer(i, 1, 0, i) for i in (1, 2, 3)]


def test_headers_can_be_wrong(simulator):
    sim = simulator()
    wire = Wire(sim.port)
    changed = {"wrong-tid": (0, 2), "wrong-unit": (6, 7), "wrong-fc": (7, 8), "wrong-count": (8, 9)}
    for i, (kind, (first, last)) in enumerate(changed.items(), 1):
        sim.tell(f"fault {kind}")
        got, good = wire.read(), answer(i, 1, 0, i)
        assert got[first:last] != good[first:last] and got[:first] + got[last:] == good[:first] + good[last:], kind
        sim.tell("fault none")
    assert sim.drawn() == {"good": 0, **{kind: 1 for kind in changed}}


def test_replies_can_be_lost_doubled_old_and_late(simulator):
    sim = simulator()
    wire = Wire(sim.port)
    sim.tell("fault mute")
    wire.send_read()
    assert wire.is_silent()
    sim.tell("fault mute off")
    sim.tell("fault duplicate")
    assert wire.read() == wire.receive(13) == answer(2, 1, 0, 2)
    sim.tell("fault duplicate off")
    sim.tell("fault stale")
    assert wire.read() == answer(2, 1, 0, 2), "the answer before"
    sim.tell("fault stale off")
    sim.tell("fault late-ms 300")
    sim.tell("fault late")
    wire.send_read()
    sim.tell("fault late off")
    assert [wire.read(), wire.receive(13)] == [answer(5, 1, 0, 5), answer(4, 1, 0, 4)], "a late one is overtaken"


def test_replies_can_be_cut_and_padded(simulator):
    sim = simulator()
    for kind, length, end in (("truncated", 6, "silence"), ("fin", 6, "end"), ("rst", 6, "reset")):
        wire = Wire(sim.port)
        sim.tell(f"fault {kind}")
        wire.send_read()
        assert len(wire.receive(length)) == length
        if end == "reset":
            with pytest.raises(ConnectionResetError):
                wire.socket.recv(1)
        elif end == "end":
            assert wire.socket.recv(1) == b""
        else:
            assert wire.is_silent()
        sim.tell("fault none")
        wire.close()
    wire = Wire(sim.port)
    sim.tell("fault oversize")
    assert wire.read()[:2] == b"\0\1" and len(wire.receive(1)) == 1
    sim.tell("fault none")
    sim.tell("fault garbage")
    wire = Wire(sim.port)
    wire.send_read()
    assert wire.receive(13) != answer(1, 1, 0, 1)


def test_split_replies_are_whole_in_the_end(simulator):
    sim = simulator("--split")
    wire = Wire(sim.port)
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(3):
        wire.send_read()
    assert wire.receive(39) == b"".join(answer(i, 1, 0, i) for i in (1, 2, 3))
    assert sim.drawn() == {"good": 0, "split": 3}


def test_exceptions_on_demand(simulator):
    sim = simulator()
    wire = Wire(sim.port)
    sim.tell("fault exception 7")
    assert wire.read(6, 2)[7:] == b"\x83\x02" and wire.read(8, 2)[7] == 3
    sim.tell("fault none")
    sim.tell("fault vanish 100")
    assert wire.read(99, 2)[7:] == b"\x83\x02" and wire.read(98, 2)[7] == 3
    sim.tell("fault none")
    sim.tell("fault max-regs 20")
    assert wire.read(0, 21)[7:] == b"\x83\x03" and wire.read(0, 20)[7] == 3
    sim.tell("fault none")
    sim.tell("fault busy")
    assert wire.read()[7:] == b"\x83\x06"
    sim.tell("fault busy off")
    sim.tell("fault storm")
    assert {wire.read()[8] for _ in range(100)} == {1, 2, 3, 4, 5, 6}


def test_a_signal_moves_the_registers(simulator):
    sim = simulator()
    wire = Wire(sim.port)
    assert wire.read(10)[9:11] == b"\0\x0a"
    sim.move_registers()
    wait_until(lambda: wire.read(10)[9:11] == b"\0\0", what="register 0 at address 10")
    assert wire.read(0)[7:] == b"\x83\x02"
    sim.move_registers()
    wait_until(lambda: wire.read(10)[9:11] == b"\0\x0a", what="register 10 back")


def test_a_dead_unit_leaves_the_others_alone(simulator):
    sim = simulator("--dead-unit", "2")
    wires = [Wire(sim.port, unit) for unit in (1, 2, 3)]
    wires[1].send_read()
    assert wires[0].read()[7] == 3 and wires[2].read()[7] == 3 and wires[1].is_silent()
    sim.tell("fault dead-unit 1,3")
    assert wires[1].read()[7] == 3


def test_connections_can_be_unwanted(simulator):
    sim = simulator("--max-conns", "2")
    first, second, third = (Wire(sim.port) for _ in range(3))
    assert third.socket.recv(1) == b"", "one too many"
    assert first.read()[7] == second.read()[7] == 3
    sim.tell("drop")
    with pytest.raises(ConnectionResetError):
        first.socket.recv(1)
    sim.tell("fault refuse")
    assert Wire(sim.port).is_silent()
    sim.tell("fault none")
    sim.tell("fault half-open")
    deaf = Wire(sim.port)
    deaf.send_read()
    assert deaf.is_silent()
    sim.tell("fault none")
    sim.tell("fault stop-after 2")
    tired = Wire(sim.port)
    assert tired.read()[7] == tired.read()[7] == 3
    tired.send_read()
    assert tired.is_silent()


def test_a_rate_spoils_a_part_and_repeats_by_seed(simulator):
    """The same seed spoils the same replies; 200 of 1,000 of 2,000 are 400, give or take five deviations (90)."""
    seen = []
    for _ in range(2):
        sim = simulator("--wrong-tid", "--wrong-unit", "--fault-rate", "200", "--seed", "7")
        wire = Wire(sim.port)
        seen.append([wire.read()[:8] for _ in range(2000)])
        drawn = sim.drawn()
        assert drawn["good"] + drawn["wrong-tid"] + drawn["wrong-unit"] == 2000
        assert abs(drawn["wrong-tid"] + drawn["wrong-unit"] - 400) < 90 and abs(drawn["wrong-tid"] - 200) < 75
    assert seen[0] == seen[1]


def test_rtu_check_sums_can_be_wrong(simulator, tmp_path):
    sim = simulator("--pty", tmp_path / "line")
    with ModbusSerialClient(str(tmp_path / "line"), baudrate=19200, timeout=0.3, retries=0) as client:
        assert client.read_holding_registers(0, count=1, device_id=1).registers == [0]
        sim.tell("fault bad-crc")
        client.socket.write(bytes.fromhex("010300000001840a"))
        reply = client.socket.read(7)
        assert reply[:3] == b"\1\3\2" and len(reply) == 7
        sim.tell("fault bad-crc off")
        client.socket.write(bytes.fromhex("010300000001840a"))
        assert client.socket.read(7)[:3] == b"\1\3\2"
        assert sim.drawn() == {"good": 2, "bad-crc": 1}


def test_commands_that_cannot_be_are_refused(simulator):
    sim = simulator()
    for command in ("", "fault", "fault nonsense", "fault delay-ms", "fault delay-ms -1", "fault fault-rate 1001", "unplug",
                    "fault dead-unit 256", "split"):
        with pytest.raises(AssertionError, match="error"):
            sim.tell(command)
