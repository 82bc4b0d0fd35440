"""Fault row 28: commands by the thousand, twice, too late, and around a kill -9 of the gateway."""
import collections
import json
import time

import pytest

from support.broker import Listener
from support.modbus import WritableServer
from support.process import wait_until

DEVICES, TAGS = 4, 25
TTL_MS = 2000


@pytest.fixture
def server():
    server = WritableServer(DEVICES * TAGS, host="0.0.0.0")
    yield server
    server.close()


@pytest.fixture
def plant(rig, server):
    """Devices that share the registers of the server: each register belongs to one tag."""
    for d in range(DEVICES):
        rig.devices.append({
            "id": f"d{d}", "protocol": "modbus-tcp", "uns_prefix": f"test/d{d}", "poll_interval": "500ms",
            "connection": {"host": f"127.0.0.{d + 2}", "port": server.port, "timeout": "3s", "breaker": {"requests": 0}},
            "tags": [{"id": f"t{i}", "address": f"holding:{d * TAGS + i}", "data_type": "uint16", "access_mode": "readwrite"}
                     for i in range(TAGS)]})
    rig.start("gateway")
    rig.wait_online()
    return rig


class Commander:
    """Sends commands without waiting, and counts the answers by id. Each command writes a value of its own, so that a write
    at the device tells whose it was."""

    def __init__(self, rig, rng):
        self.rng, self.listener = rng, Listener(rig.platform.broker.port, "$nexus/cmd/response/#")
        self.values: dict[str, int] = {}
        self.sent_at: dict[str, float] = {}

    def send(self, count: int, age_ms: int = 0, tags: int = DEVICES * TAGS, ttl_ms: int = 60000) -> list[str]:
        """The ids. age_ms: so long ago it claims to have been sent."""
        ids = []
        for _ in range(count):
            value = len(self.values) + 1
            name, where = f"c{value}", self.rng.randrange(tags)
            ids.append(name)
            self.values[name], self.sent_at[name] = value, time.time() - age_ms / 1000
            self.publish(name, where, ttl_ms)
        return ids

    def publish(self, name: str, where: int, ttl_ms: int) -> None:
        self.last = (name, where, ttl_ms)
        self.listener.client.publish(f"$nexus/cmd/d{where // TAGS}/t{where % TAGS}/set", json.dumps({
            "id": name, "value": self.values[name], "ttl_ms": ttl_ms, "timestamp": int(self.sent_at[name] * 1000)}),
            qos=self.rng.choice([1, 2]))

    def again(self) -> None:
        """The command sent last, once more."""
        self.publish(*self.last)

    def answers(self) -> dict[str, list[dict]]:
        found = collections.defaultdict(list)
        for _, payload, _ in list(self.listener.messages):
            answer = json.loads(payload)
            found[answer["id"]].append(answer)
        return found

    def wait_answers(self, ids: list[str], guard: float = 60) -> dict[str, dict]:
        wait_until(lambda: set(ids) <= set(self.answers()), guard, "an answer to each command", every=0.2)
        found = self.answers()
        more = {i: found[i] for i in ids if len(found[i]) != 1}
        assert not more, f"several answers: {more}"
        return {i: found[i][0] for i in ids}


def writes_of(server, commander) -> dict[str, list[float]]:
    """When the device saw the value of each command."""
    names = {value: name for name, value in commander.values.items()}
    found = collections.defaultdict(list)
    for when, _, words in list(server.writes):
        found[names[words[0]]].append(when)
    return found


def check_executed(server, commander, answers: dict[str, dict]) -> None:
    """What was done was done once; what was refused was not done."""
    seen = writes_of(server, commander)
    for name, answer in answers.items():
        times = len(seen[name])
        if answer["success"]:
            assert times == 1, f"{name} was answered with success and written {times} times"
        elif answer["code"] == "outcome_unknown":
            assert times <= 1, f"{name} was written {times} times"
        else:
            assert times == 0, f"{name} was refused ({answer['code']}) and written all the same"


def test_storm_with_doubles_and_late_ones(plant, server, rng, rounds):
    """2,000 at once: one answer each, nothing written twice, nothing late written, and those above the cap are told why."""
    commander = Commander(plant, rng)
    server.delay_s = 0.002
    for _ in range(rounds(1)):
        ids, late = [], []
        for _ in range(20):
            ids += commander.send(90)
            commander.again()
            late += commander.send(10, age_ms=rng.randint(TTL_MS + 1, 10 * TTL_MS), ttl_ms=TTL_MS)
            commander.again()
        answers = commander.wait_answers(ids + late)
        check_executed(server, commander, answers)
        codes = collections.Counter("ok" if a["success"] else a["code"] for a in answers.values())
        print(dict(codes))
        assert codes["ok"] > 0 and codes["rate_limited"] > 0, codes
        assert set(codes) <= {"ok", "rate_limited", "queue_full", "expired"}, codes
        assert all(a["error"] == "rate limit exceeded, too many concurrent writes"
                   for a in answers.values() if a.get("code") == "rate_limited")
        assert {answers[i]["code"] for i in late} <= {"expired", "queue_full"}
        name = commander.send(1)[0]
        assert commander.wait_answers([name])[name]["success"], "after the storm a command is carried out"
        commander.again()
    counted = plant.platform.status("gateway")["commands"]
    assert counted["received"] == counted["done"] + counted["failed"] + counted["rejected"] + counted["duplicates"]
    assert counted["duplicates"] >= 40
    plant.wait_polls("d0", 2)
    assert {len(a) for a in commander.answers().values()} == {1}
    plant.check_sanitizers()


def test_commands_that_wait_too_long_are_not_carried_out(plant, server, rng, rounds):
    """One tag of a slow device: commands wait for each other until their time is over. None is written after it."""
    commander = Commander(plant, rng)
    for _ in range(rounds(1)):
        server.delay_s = rng.uniform(0.1, 0.3)
        answers = commander.wait_answers(commander.send(60, tags=1, ttl_ms=TTL_MS))
        check_executed(server, commander, answers)
        codes = collections.Counter("ok" if a["success"] else a["code"] for a in answers.values())
        assert codes["ok"] > 0 and codes["expired"] > 0, codes
        assert set(codes) <= {"ok", "expired", "outcome_unknown"}, codes
        seen = writes_of(server, commander)
        late = {n: t[0] - commander.sent_at[n] for n, t in seen.items() if t and t[0] - commander.sent_at[n] > TTL_MS / 1000 * 1.25}
        assert not late, f"written after their time to live of {TTL_MS} ms (s): {late}"
    plant.check_sanitizers()


def test_commands_around_a_kill(plant, server, rng, rounds):
    """kill -9 while commands run: no value is written twice by a broker that delivers again; commands whose time was over
    when the gateway came back are answered so."""
    commander = Commander(plant, rng)
    server.delay_s = 0.01
    for _ in range(rounds(2)):
        running = commander.send(100)
        time.sleep(rng.uniform(0, 0.3))
        plant.platform.roles["gateway"].kill()
        late = commander.send(20, ttl_ms=300)
        time.sleep(0.4)  # their time to live
        plant.platform.start_role("gateway")
        plant.wait_online()
        answers = commander.wait_answers(late)
        assert {a["code"] for a in answers.values()} == {"expired"}
        check_executed(server, commander, answers)
        name = commander.send(1)[0]
        assert commander.wait_answers([name])[name]["success"]
        seen, told = writes_of(server, commander), commander.answers()
        print(f"{sum(not told[n] for n in running)} of {len(running)} commands have no answer: they were under way at the kill")
        twice = {n: len(seen[n]) for n in running if len(seen[n]) > 1}
        assert not twice, f"written more than once: {twice}"
        assert all(len(told[n]) <= 1 for n in running)
        assert all(len(seen[n]) == 1 for n in running if told[n] and told[n][0]["success"])
    plant.check_sanitizers()
