"""Our S7 simulator against clients of others: native snap7, python-snap7 and nodes7. Three code bases that agree with it
on every type, limit and refusal make it a judge of our own driver. Values are packed here with struct."""
import datetime
import math
import struct

import pytest
from snap7 import Area
from snap7.client import Client as PythonSnap7

from support.s7 import S7Simulator, Snap7Client, nodes7

BIT, BYTE, WORD, DWORD, REAL, COUNTER, TIMER = 1, 2, 4, 6, 8, 28, 29
# Codes of snap7 for what the CPU said.
OUT_OF_RANGE, NOT_AVAILABLE, OVER_PDU, NO_FUNCTION, PASSWORD = "00900000", "00c00000", "00700000", "01400000", "01d00000"


@pytest.fixture
def simulator(processes, build_dir):
    return S7Simulator(processes, build_dir)


@pytest.fixture
def snap7(processes, simulator):
    client = Snap7Client(processes, simulator.port)
    client.tell("connect")
    return client


@pytest.fixture
def python_snap7(simulator):
    client = PythonSnap7()
    client.connect("127.0.0.1", 0, 1, simulator.port)
    yield client
    client.disconnect()


# --- native snap7 ---


def test_snap7_reads_and_writes_every_area(simulator, snap7):
    for area, number in (("DB", 2), ("M", 0), ("I", 0), ("Q", 0)):
        data = bytes(range(1, 13))
        simulator.set(area, number, 20, data)
        assert snap7.ask(f"read {area},{number},20,12,{BYTE}") == f"ok:{data.hex()}"
        assert snap7.ask(f"write {area},{number},40,3,{BYTE},a1b2c3 {area},{number},45,1,{REAL},41200000") == "ok ok"
        assert simulator.get(area, number, 39, 11).hex() == "00a1b2c300004120000000"
    simulator.set("C", 0, 6, bytes.fromhex("0123"))
    simulator.set("T", 0, 8, bytes.fromhex("2345"))
    assert snap7.ask(f"read C,0,3,1,{COUNTER} T,0,4,1,{TIMER}") == "ok:0123 ok:2345"


def test_snap7_reads_and_writes_single_bits(simulator, snap7):
    simulator.set("DB", 1, 7, b"\x81")
    assert snap7.ask(f"read DB,1,{7 * 8},1,{BIT} DB,1,{7 * 8 + 1},1,{BIT} DB,1,{7 * 8 + 7},1,{BIT}") == "ok:01 ok:00 ok:01"
    for bit in range(8):
        assert snap7.ask(f"write DB,1,{7 * 8 + bit},1,{BIT},{'00' if bit in (0, 7) else '01'}") == "ok"
    assert simulator.get("DB", 1, 6, 3).hex() == "007e00"


def test_snap7_sees_each_item_fail_alone(simulator, snap7):
    simulator.tell("db 3 optimized")
    simulator.tell("hole 1 100 101 3")
    answer = snap7.ask(f"read DB,1,0,3,{BYTE} DB,9,0,2,{BYTE} DB,2,4095,2,{BYTE} DB,3,0,2,{BYTE} DB,1,100,1,{BYTE} "
                       f"M,0,0,1,{BYTE} DB,1,2,1,{WORD}").split()
    assert [word[:3] == "ok:" for word in answer] == [True, False, False, False, False, True, True]
    assert answer[1] == NOT_AVAILABLE and answer[2] == answer[3] == OUT_OF_RANGE
    simulator.tell("db 2 readonly")
    answer = snap7.ask(f"write DB,2,0,1,{BYTE},55 DB,1,0,1,{BYTE},55").split()
    assert answer[0] != "ok" and answer[1] == "ok"
    assert simulator.get("DB", 2, 0, 1) == b"\0" and simulator.get("DB", 1, 0, 1) == b"\x55"


def test_snap7_meets_the_limits_of_the_cpu(processes, build_dir):
    simulator = S7Simulator(processes, build_dir, "--s7-model", "s7-1200", "--s7-connections", 2, "--s7-provenance")
    snap7 = Snap7Client(processes, simulator.port)
    snap7.tell("connect")
    assert snap7.ask("pdu") == "ok 480 240"
    items = " ".join(f"DB,1,{4 * i},1,{WORD}" for i in range(20))
    assert snap7.ask(f"read {items}").startswith("error")  # 252 bytes of request
    assert snap7.ask(f"read {items.rsplit(' ', 1)[0]}").count("ok:") == 19
    assert snap7.ask(f"read DB,1,0,230,{BYTE}").startswith("error")  # 248 bytes of reply
    # A large area in as many requests as the negotiated length needs.
    whole = bytes.fromhex(snap7.ask(f"area DB,1,0,4096,{BYTE}")[3:])
    assert [word[0] for word in struct.iter_unpack(">H", whole)] == [i + 4099 for i in range(2048)]
    others = [Snap7Client(processes, simulator.port) for _ in range(2)]
    others[0].tell("connect")
    assert others[1].ask("connect").startswith("error")  # the third connection
    assert simulator.stats()["connections"] == 2
    others[0].tell("disconnect")
    others[1].tell("connect")


def test_snap7_is_refused_by_a_wrong_slot(processes, simulator):
    assert Snap7Client(processes, simulator.port, 0, 2).ask("connect").startswith("error")
    assert Snap7Client(processes, simulator.port, 1, 1).ask("connect").startswith("error")
    assert Snap7Client(processes, simulator.port, 0, 1).ask("connect") == "ok"


def test_snap7_names_put_get_off_and_the_password(simulator, snap7):
    simulator.tell("put-get off")
    assert snap7.ask(f"read DB,1,0,1,{BYTE}") == f"error {NO_FUNCTION}"
    assert snap7.ask(f"write DB,1,0,1,{BYTE},01") == f"error {NO_FUNCTION}"
    simulator.tell("put-get on")
    simulator.tell("password on")
    assert snap7.ask(f"read DB,1,0,1,{BYTE}") == f"error {PASSWORD}"
    simulator.tell("password off")
    assert snap7.ask(f"read DB,1,0,1,{BYTE}") == "ok:00"


def test_snap7_learns_what_the_cpu_is(snap7):
    assert snap7.ask("info") == "ok s7-1500,NEXUS simulator"
    assert snap7.ask("status") == "ok 8"


# No fragments here: snap7's client puts those of a multi-item reply together wrongly, python-snap7 and nodes7 not at all.
@pytest.mark.parametrize("fault", ["split", "delay-ms 30", "coalesce-ms 20"])
def test_snap7_takes_what_arrives_oddly_but_whole(simulator, snap7, fault):
    simulator.tell("provenance")
    simulator.tell(f"fault {fault if ' ' in fault else fault + ' on'}")
    want = struct.pack(">20H", *(4099 * 2 + 5 + i for i in range(20)))
    assert snap7.ask(f"read DB,2,10,40,{BYTE} DB,2,10,1,{WORD}") == f"ok:{want.hex()} ok:{want[:2].hex()}"


# Its client does not look at the reference of a multi-item reply, so no wrong-ref here.
@pytest.mark.parametrize("fault", ["garbage", "cut", "rst", "fin"])
def test_snap7_sees_broken_replies(simulator, snap7, fault):
    simulator.tell(f"fault {fault} on")
    assert not snap7.ask(f"read DB,1,0,4,{BYTE}").startswith("ok")
    assert simulator.drawn()[fault] > 0


# --- python-snap7 ---


def test_python_snap7_reads_and_writes(simulator, python_snap7):
    for area, name, number in ((Area.DB, "DB", 1), (Area.MK, "M", 0), (Area.PA, "Q", 0), (Area.PE, "I", 0)):
        simulator.set(name, number, 8, b"\x01\x02\x03\x04\x05")
        assert bytes(python_snap7.read_area(area, number, 8, 5)) == b"\x01\x02\x03\x04\x05"
        python_snap7.write_area(area, number, 9, bytearray(b"\xaa\xbb"))
        assert simulator.get(name, number, 8, 5) == b"\x01\xaa\xbb\x04\x05"


def test_python_snap7_reads_many_at_once(simulator, python_snap7):
    simulator.tell("provenance")
    items = [{"area": Area.DB, "db_number": 1 + i % 4, "start": 100 * i, "size": 4} for i in range(20)]
    code, values = python_snap7.read_multi_vars(items)
    assert code == 0
    for item, value in zip(items, values):
        first = item["start"] // 2 + 4099 * item["db_number"]
        assert bytes(value) == struct.pack(">HH", first, first + 1)


def test_python_snap7_sees_what_is_not_there(simulator, python_snap7):
    for number, start in ((9, 0), (1, 4095)):
        with pytest.raises(Exception, match="."):
            python_snap7.read_area(Area.DB, number, start, 4)
    assert len(python_snap7.read_area(Area.DB, 1, 4092, 4)) == 4


# --- nodes7 ---

# Address in nodes7's dialect, byte in DB1, what lies there, value as nodes7 tells it.
NODES7_TYPES = [
    ("DB1,X0.3", 0, b"\x08", True),
    ("DB1,X1.0", 1, b"\xfe", False),
    ("DB1,BYTE2", 2, b"\xc8", 200),
    ("DB1,WORD4", 4, struct.pack(">H", 0xBEEF), 0xBEEF),
    ("DB1,INT6", 6, struct.pack(">h", -12345), -12345),
    ("DB1,DWORD8", 8, struct.pack(">I", 0xDEADBEEF), 0xDEADBEEF),
    ("DB1,DINT12", 12, struct.pack(">i", -2000000000), -2000000000),
    ("DB1,REAL16", 16, struct.pack(">f", -1.5), -1.5),
    ("DB1,LREAL20", 20, struct.pack(">d", 12345.678901), 12345.678901),
    ("DB1,CHAR28", 28, b"Z", "Z"),
    ("DB1,STRING30.20", 30, b"\x14\x05Hello" + bytes(15), "Hello"),
    ("DB1,INT60.4", 60, struct.pack(">4h", 1, -2, 3, -4), [1, -2, 3, -4]),
    ("DB1,REAL70.3", 70, struct.pack(">3f", 0.5, 1.25, -3.0), [0.5, 1.25, -3.0]),
]


def is_same(got, value) -> bool:
    if isinstance(value, list):
        return len(got) == len(value) and all(map(is_same, got, value))
    return math.isclose(float(got), value) if isinstance(value, float) else str(got) == str(value)


def test_nodes7_reads_every_type(simulator):
    for _, byte, raw, _ in NODES7_TYPES:
        simulator.set("DB", 1, byte, raw)
    done = nodes7(simulator.port, read=[row[0] for row in NODES7_TYPES])
    assert done["readBad"] is False, done
    for address, _, _, value in NODES7_TYPES:
        assert is_same(done["values"][address], value), (address, done["values"][address])


def test_nodes7_writes_every_type(simulator):
    done = nodes7(simulator.port, write={address: value for address, _, _, value in NODES7_TYPES})
    assert done["writeBad"] is False, done
    for address, byte, raw, value in NODES7_TYPES:
        if isinstance(value, bool):
            raw = b"\x08" if value else b"\0"  # its bit alone
        elif isinstance(value, str) and len(value) > 1:
            raw = raw[:2 + len(value)]
        assert simulator.get("DB", 1, byte, len(raw)) == raw, address


def test_nodes7_reads_dates(simulator):
    moment = datetime.datetime(2026, 2, 3, 4, 5, 6, 789000)
    simulator.set("DB", 1, 0, bytes.fromhex("2602030405067893"))
    simulator.set("DB", 1, 8, struct.pack(">HBBBBBBI", 2026, 2, 3, 3, 4, 5, 6, 789000000))
    done = nodes7(simulator.port, read=["DB1,DTZ0", "DB1,DTLZ8"])
    assert done["values"]["DB1,DTZ0"] == done["values"]["DB1,DTLZ8"] == moment.isoformat(timespec="milliseconds") + "Z"


def test_nodes7_reads_the_other_areas(simulator):
    simulator.set("M", 0, 4, struct.pack(">f", 2.5))
    simulator.set("I", 0, 2, b"\x10")
    simulator.set("Q", 0, 6, struct.pack(">h", -7))
    done = nodes7(simulator.port, read=["MR4", "I2.4", "QI6"])
    assert done["readBad"] is False, done
    assert done["values"] == {"MR4": 2.5, "I2.4": True, "QI6": -7}


@pytest.mark.parametrize("model", ["s7-300", "s7-1200", "s7-1500"])
def test_nodes7_packs_and_pipelines_within_the_limits(processes, build_dir, model):
    """Nodes7 knows no limit of items, only sizes. Some 400 scattered words: many requests, as many at once as the CPU negotiates; not one is over a limit."""
    slot = 2 if model == "s7-300" else 1
    simulator = S7Simulator(processes, build_dir, "--s7-model", model, "--s7-items", 0, "--s7-provenance")
    words = {f"DB{db},WORD{byte}": byte // 2 + 4099 * db for db in (1, 2, 3, 4) for byte in range(0, 4000, 40)}
    done = nodes7(simulator.port, read=list(words), slot=slot)
    assert done["readBad"] is False
    assert done["values"] == words
    assert simulator.stats()["refused"] == 0


def test_nodes7_sees_what_is_not_there(simulator):
    done = nodes7(simulator.port, read=["DB9,INT0", "DB1,INT0"])
    assert done["readBad"] is True
    assert done["values"]["DB9,INT0"].startswith("BAD") and done["values"]["DB1,INT0"] == 0
