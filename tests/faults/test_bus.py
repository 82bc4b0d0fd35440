"""Thirty units on one line: a dead one, and a line that is pulled out. The same through a TCP gateway."""
import time

from support import books
from support.load import Load
from support.process import wait_until

UNITS = 30


def polls_of(rig, kind: str, dead: int) -> dict[str, int]:
    return {name: s["stats"]["polls_ok"] for name, s in rig.states().items()
            if name.startswith(kind) and name != f"{kind}{dead}"}


def achieved(rig, kinds: tuple, dead: int, span: float) -> dict[str, int]:
    """Polls of the living units in a stretch of time."""
    before = {kind: sum(polls_of(rig, kind, dead).values()) for kind in kinds}
    time.sleep(span)
    return {kind: sum(polls_of(rig, kind, dead).values()) - before[kind] for kind in kinds}


def test_dead_unit_delays_the_others_by_less_than_a_tenth(rig, rng, rounds, tmp_path):
    """On a serial line of its pace and through one TCP gateway, both kept busy all the time, from its second lost poll on."""
    line = Load(rig.processes, rig.build_dir, UNITS, 5, "--baud", "115200", pty=tmp_path / "line").start()
    port = rig.simulator(UNITS, 5, "--delay-ms", "3").start()
    for i in range(UNITS):
        rig.device(f"line{i}", line, i + 1, 5, interval="100ms", retry_count=0, baud_rate=115200)
        rig.device(f"port{i}", port, i + 1, 5, interval="100ms", retry_count=0, host="127.0.0.1")
    rig.start("gateway")
    rig.wait_online()
    span, kinds = (11 if rounds(1) == 1 else 31), ("line", "port")
    for i in range(rounds(1)):
        dead = rng.randrange(UNITS)
        well = achieved(rig, kinds, dead, span / 2)
        line.fault("dead-unit", dead + 1)
        port.fault("dead-unit", dead + 1)
        wait_until(lambda: all(rig.state(f"{k}{dead}")["stats"]["breaker"] != "closed" for k in kinds), 30, "it being left in peace")
        ill = achieved(rig, kinds, dead, span)
        for kind in kinds:
            share = ill[kind] / span / (well[kind] / (span / 2))
            print(f"{kind}: {well[kind]} polls in {span / 2} s, with a dead unit {ill[kind]} in {span} s: {share:.3f}")
            assert share > 0.9, f"{kind}: a dead unit costs the others {1 - share:.0%}"
            polls = polls_of(rig, kind, dead)
            assert min(polls.values()) > 0.7 * max(polls.values()), f"{kind}: some units are starved"
        if i + 1 == rounds(1):
            break
        line.fault("dead-unit")
        port.fault("dead-unit")
        wait_until(lambda: all(rig.state(f"{k}{dead}")["status"] == "online" for k in kinds), 60, "it being back")
    rig.check_sanitizers()


def test_line_is_pulled_out_and_put_back(rig, rng, rounds, tmp_path):
    """The units are bad with a reason, the neighbour goes on, and everything is back with the line."""
    units = 5
    line = Load(rig.processes, rig.build_dir, units, 5, pty=tmp_path / "line").start()
    for i in range(units):
        rig.device(f"d{i}", line, i + 1, 5, interval="50ms", retry_count=0)
    rig.start()
    rig.wait_online()
    for _ in range(rounds(2)):
        rig.wait_polls("d0", rng.randint(1, 10))
        line.tell("unplug")
        wait_until(lambda: all(rig.state(f"d{i}")["status"] == "offline" for i in range(units)), 30, "the loss being seen")
        assert str(tmp_path / "line") in rig.state("d0")["last_error"]
        time.sleep(rng.uniform(0, 0.5))
        line.tell("plug")
        rig.wait_online()
    rig.finish()
    for i in range(units):
        for topic, values in rig.numbers([f"uns/test/d{i}/t{n}" for n in range(5)]).items():
            books.check_counter(topic, values)
            assert len(books.missing(values)) <= rounds(2) + 1, topic  # an answer under way at each pull, and at the end
    rig.check_good()
