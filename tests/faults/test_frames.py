"""Fault rows 5 to 8: answers in pieces, broken answers, answers to other questions, exceptions.

With `--type proof` a value is address << 16 | unit << 8 | a count, so every stored value proves by itself where it was read.
"""
import pytest

from support import books
from support.load import Load
from support.process import wait_until

MBAP_FAULTS = ("garbage", "truncated", "oversize", "wrong-tid", "wrong-unit", "wrong-fc", "wrong-count")
RTU_FAULTS = ("garbage", "truncated", "oversize", "wrong-unit", "wrong-fc", "wrong-count", "bad-crc")
IDENTIFIER_FAULTS = ("wrong-tid", "stale", "duplicate", "late", "wrong-unit", "wrong-fc", "wrong-count", "mute")


def check_proofs(rig, units: dict[str, int], tags: int, step: int) -> int:
    """How many good values are stored of the devices; each must be of its own tag."""
    total = 0
    for name, unit in units.items():
        topics = {f"uns/test/{name}/t{i}": i * step for i in range(tags)}
        for topic, values in rig.numbers(list(topics)).items():
            wrong = [hex(v) for v in values if v >> 8 != topics[topic] << 8 | unit]
            assert not wrong, f"{topic} (register {topics[topic]}, unit {unit}) has values of other tags: {wrong[:10]}"
            total += len(values)
    return total


@pytest.mark.parametrize("pipeline", [1, 16])
def test_answers_in_pieces_and_in_one_piece(rig, rng, rounds, pipeline):
    """Row 5. Byte by byte, or many in one segment: no error, no lost value. Tags far apart are a request each."""
    sim = rig.simulator(2, 401).start()
    for i in range(2):
        rig.device(f"d{i}", sim, i + 1, 5, step=100, pipeline=pipeline, timeout="2s", retry_count=0)
    rig.start()
    rig.wait_online()
    for _ in range(rounds(1)):
        sim.faults(rng.choice([300, 1000]), "split")
        wait_until(lambda: sim.spoiled() >= 40, 30, "answers in pieces")
        sim.heal()
        rig.wait_polls("d0", rng.randint(3, 8))
    stats = [s["stats"] for s in rig.states().values()]
    assert sum(s["protocol_errors"] + s["stale_replies"] + s["polls_failed"] for s in stats) == 0
    rig.finish()
    for name in ("d0", "d1"):
        for topic, values in rig.numbers([f"uns/test/{name}/t{i}" for i in range(5)]).items():
            books.check_counter(topic, values)
            assert len(books.missing(values)) <= 1, topic  # the answers under way at the end
    rig.check_good()


def broken_answers(rig, rng, rounds, sim, names: dict[str, int], kinds, least: int) -> None:
    rig.start()
    rig.wait_online()
    for _ in range(rounds(1)):
        sim.faults(rng.randint(200, 600), *kinds)
        wait_until(lambda: sim.spoiled() >= least, 90, "broken answers")
        assert rig.platform.roles["gateway"].is_running()
        sim.heal()
        rig.wait_online()
        for name in names:
            rig.wait_polls(name, 3)  # and they go on
    assert sum(rig.state(name)["stats"]["protocol_errors"] for name in names) > 0
    rig.finish()
    assert check_proofs(rig, names, 5, 20) > 0
    rig.check_good()


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_broken_answers_on_tcp(rig, rng, rounds, framing):
    """Row 6. Whatever comes: no wrong value, no crash, and the next good answer is taken."""
    sim = rig.simulator(3, 50, "--type", "proof", "--framing", framing).start()
    names = {f"d{i}": i + 1 for i in range(3)}
    for name, unit in names.items():
        rig.device(name, sim, unit, 5, step=20, kind="uint32", framing=framing, byte_timeout="50ms")
    broken_answers(rig, rng, rounds, sim, names, MBAP_FAULTS if framing == "tcp" else RTU_FAULTS, 60 if framing == "tcp" else 30)


def test_broken_answers_on_a_serial_line(rig, rng, rounds, tmp_path):
    """Row 6. The same on a line; in the long form three units share it, each in peace for 10 s after two lost answers."""
    units = 3 if rounds(1) >= 20 else 1
    sim = Load(rig.processes, rig.build_dir, units, 50, "--type", "proof", pty=tmp_path / "line").start()
    names = {f"d{i}": i + 1 for i in range(units)}
    for name, unit in names.items():
        rig.device(name, sim, unit, 5, step=20, kind="uint32", byte_timeout="50ms")
    broken_answers(rig, rng, rounds, sim, names, RTU_FAULTS, 20)


@pytest.mark.parametrize("pipeline", [1, 16])
def test_no_value_on_a_wrong_tag(rig, rng, rounds, pipeline):
    """Row 7. Wrong, stale, doubled and late transactions: 8,000 in both forms together; in the long form a million in 20 rounds."""
    devices, tags, step = 20, 16, 4
    each = ({1: 15000, 16: 35000} if rounds(1) >= 20 else {1: 3000, 16: 5000})[pipeline]
    sim = rig.simulator(devices, tags * step // 2, "--type", "proof").start()
    names = {f"d{i}": i + 1 for i in range(devices)}
    for name, unit in names.items():
        rig.device(name, sim, unit, tags, step=step, kind="uint32", interval="50ms", gap=0, pipeline=pipeline, timeout="100ms",
                   retry_count=2, retry_delay="0ms")
    rig.platform.extra["gateway"] = ["polling.reconnect_min=10ms", "polling.reconnect_max=100ms", "publish.tags=false",
                                     "polling.connects_per_second=10000", "recorder.save=false"]
    rig.start()
    rig.wait_online()
    faulty = 0
    for _ in range(rounds(1)):
        sim.fault("late-ms", rng.choice([10, 60, 150]))
        sim.faults(rng.randint(100, 500), *IDENTIFIER_FAULTS)
        wait_until(lambda: sim.spoiled() >= each, 300, "faulty answers")
        faulty += sim.heal()
    rig.wait_online()
    assert sum(s["stats"]["stale_replies"] for s in rig.states().values()) > 0
    rig.finish()
    stored = check_proofs(rig, names, tags, step)
    assert stored > 1000, f"only {stored} values among {faulty} faulty answers"
    rig.check_good()


def test_exception_storm(rig, rng, rounds):
    """Row 8. All answers are exceptions: few lines in the log, few more requests than before, and all is well after it."""
    sim = rig.simulator(3, 20).start()
    names = [f"d{i}" for i in range(3)]
    for i, name in enumerate(names):
        rig.device(name, sim, i + 1, 20, probe_interval="1s", interval="50ms", retry_count=0)
    rig.start()
    rig.wait_online()
    for _ in range(rounds(1)):
        rig.wait_polls("d0", rng.randint(3, 10))
        sim.faults(1000, "storm")
        wait_until(lambda: sim.spoiled() > 100, 30, "a storm of exceptions")
        before, asked = len(rig.platform.roles["gateway"].text().splitlines()), sim.requests()
        polls = sum(rig.state(n)["stats"]["polls_ok"] + rig.state(n)["stats"]["polls_failed"] for n in names)
        wait_until(lambda: sum(rig.state(n)["stats"]["polls_ok"] + rig.state(n)["stats"]["polls_failed"] for n in names)
                   >= polls + 90, 30, "polls in the storm")
        done = sum(rig.state(n)["stats"]["polls_ok"] + rig.state(n)["stats"]["polls_failed"] for n in names) - polls
        assert sim.requests() - asked <= 4 * done, "the storm multiplies the requests"
        said = len(rig.platform.roles["gateway"].text().splitlines()) - before
        assert said <= 12, f"{said} lines in the log for 3 devices"
        sim.heal()
        rig.wait_online()
        topics = [f"uns/test/{n}/t{i}" for n in names for i in range(20)]
        newest = lambda: {t: r[-1][2] if r else 0 for t, r in books.series(rig.platform, topics).items()}  # noqa: E731
        wait_until(lambda: min(newest().values()) >= 192, 40, "every tag being good again", every=0.3)
    rig.finish()
    for name in names:
        for topic, values in rig.numbers([f"uns/test/{name}/t{i}" for i in range(20)]).items():
            books.check_counter(topic, values)
    rig.check_good()
