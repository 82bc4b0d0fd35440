"""kill -9 of the gateway in the middle of write commands: each gets exactly one final answer and none is executed twice."""
import json
import os
import random
import threading
import time

import pytest

from support.broker import Listener
from support.modbus_writable import WritableServer
from support.process import wait_until

ROUNDS = int(os.environ.get("NEXUS_KILLS", "4"))
TAGS = 8
COMMANDS = 40


class Plc(WritableServer):
    """Remembers each value that was written; writes wait while `gate` is closed."""

    def __init__(self):
        super().__init__(64)
        self.gate = threading.Event()
        self.gate.set()
        self.written: list[int] = []

    def write(self, address: int, values: list[int]) -> bool:
        self.written += values
        self.gate.wait(20)
        return super().write(address, values)


@pytest.fixture
def plc(platform):
    server = Plc()
    platform.write_devices([{
        "id": "plc", "protocol": "modbus-tcp", "poll_interval": "200ms",
        "connection": {"host": "127.0.0.1", "port": server.port, "timeout": "5s"},
        "tags": [{"id": f"t{i}", "address": f"holding:{i + 1}", "data_type": "uint16", "access_mode": "readwrite"}
                 for i in range(TAGS)]}])
    yield server
    server.gate.set()
    server.close()


@pytest.fixture
def caller(platform, plc):
    platform.start("gateway")
    listener = Listener(platform.broker.port, "$nexus/cmd/response/#")
    online(platform)
    yield listener
    listener.close()


def online(platform) -> None:
    wait_until(lambda: platform.status("gateway")["devices_online"] == 1, what="the device online")


def answers(caller: Listener) -> dict[str, set[str]]:
    """The different answers of each id; a broker may deliver the same one twice."""
    found: dict[str, set[str]] = {}
    for _, payload, _ in list(caller.messages):
        found.setdefault(json.loads(payload)["id"], set()).add(payload.decode())
    return found


def send(caller: Listener, number: int) -> None:
    caller.client.publish(f"$nexus/cmd/plc/t{number % TAGS}/set", json.dumps({"value": number, "id": f"c{number}"}), qos=2)


def answer_of(caller: Listener, number: int) -> dict:
    texts = wait_until(lambda: answers(caller).get(f"c{number}"), 30, f"an answer to c{number}")
    assert len(texts) == 1, texts
    return json.loads(next(iter(texts)))


def restart(platform) -> None:
    platform.roles["gateway"].kill()
    platform.start_role("gateway")


def test_a_write_under_way_is_answered_as_unknown_and_not_repeated(platform, plc, caller):
    plc.gate.clear()
    send(caller, 1000)
    wait_until(lambda: 1000 in plc.written, what="the write at the device")
    send(caller, 1000 + TAGS)  # the same tag: waits for its turn
    wait_until(lambda: platform.status("gateway")["commands"]["received"] == 2, what="the second one waiting")
    restart(platform)
    plc.gate.set()
    assert answer_of(caller, 1000)["code"] == "outcome_unknown"
    assert answer_of(caller, 1000 + TAGS)["code"] == "not_executed"
    online(platform)
    send(caller, 1000)
    send(caller, 1001)
    assert answer_of(caller, 1001)["success"] is True
    assert plc.written == [1000, 1001], "a command was executed twice, or one that was said not to be"
    assert len(answers(caller)["c1000"]) == 1


def test_kills_at_any_moment_leave_one_answer_each(platform, plc, caller):
    number = 1
    for round_ in range(ROUNDS):
        first = number
        kill_at = time.monotonic() + random.uniform(0, 0.4)
        while number < first + COMMANDS:
            send(caller, number)
            number += 1
            time.sleep(0.01)
            if kill_at and time.monotonic() > kill_at:
                restart(platform)
                kill_at = 0
        wait_until(lambda: len(answers(caller)) == number - 1, 30, f"round {round_}: an answer to each command")
        online(platform)
    for n in range(1, number):
        answer = answer_of(caller, n)
        times = plc.written.count(n)
        assert times <= 1, f"c{n} was executed {times} times"
        if answer["success"]:
            assert times == 1, f"c{n} was not written: {answer}"
        elif answer["code"] != "outcome_unknown":
            assert times == 0, f"c{n} was written: {answer}"
    before = list(plc.written)
    for n in range(number - COMMANDS, number):
        send(caller, n)
    send(caller, number)
    answer_of(caller, number)
    assert plc.written == before + [number]
