"""Fault rows 1 to 9 for Siemens S7. In these CPUs every word tells its own address, so a value proves where it was read."""
import pytest

from support import books
from support.process import wait_until
from support.s7 import S7Simulator

CPUS, BLOCKS, EACH, STEP = 6, 4, 8, 60
BROKEN = ("garbage", "truncated", "cut", "rst", "fin")
IDENTIFIERS = ("wrong-ref", "wrong-count", "stale", "duplicate", "late", "mute")


def expected(block: int, byte: int) -> int:
    """sim/s7_memory.c: what --s7-provenance puts into a word."""
    return byte // 2 + 4099 * block


class Cpus(S7Simulator):
    def heal(self) -> int:
        self.tell("fault fault-rate 0")
        spoiled = self.spoiled()
        self.tell("fault none -")
        return spoiled

    def spoiled(self) -> int:
        return sum(n for kind, n in self.drawn().items() if kind != "good")

    def faults(self, rate: int, kinds) -> None:
        for kind in kinds:
            self.tell(f"fault {kind} on")
        self.tell(f"fault fault-rate {rate}")


@pytest.fixture
def cpus(rig):
    """One CPU in every slot that is asked for; small PDUs, so that a poll is several jobs at once."""
    sim = Cpus(rig.processes, rig.build_dir, "--host", "0.0.0.0", "--s7-any-slot", "--s7-provenance", "--s7-pdu", "240",
               "--s7-jobs", "8", "--s7-connections", "0", "--s7-dbs", str(BLOCKS))
    for i in range(CPUS):
        rig.devices.append({
            "id": f"d{i}", "protocol": "s7", "uns_prefix": f"test/d{i}", "poll_interval": "50ms",
            "connection": {"host": f"127.0.0.{i + 2}", "port": sim.port, "timeout": "100ms", "breaker": {"requests": 0},
                           "retry_count": 0, "probe_interval": "1s"},
            "tags": [{"id": f"b{b}w{n}", "address": f"DB{b}.DBW{n * STEP}", "data_type": "uint16"}
                     for b in range(1, BLOCKS + 1) for n in range(EACH)]})
    rig.platform.extra["gateway"].append("publish.tags=false")
    rig.start()
    rig.wait_online()
    return sim


def check_values(rig) -> int:
    total = 0
    for i in range(CPUS):
        topics = {f"uns/test/d{i}/b{b}w{n}": expected(b, n * STEP) for b in range(1, BLOCKS + 1) for n in range(EACH)}
        for topic, values in rig.numbers(list(topics)).items():
            assert values, f"{topic}: nothing is stored"
            assert set(values) == {topics[topic]}, f"{topic} has values of other words: {sorted(set(values))[:10]}"
            total += len(values)
    return total


@pytest.mark.parametrize("kinds", [BROKEN, IDENTIFIERS], ids=["broken", "identifiers"])
def test_no_value_on_a_wrong_tag(rig, cpus, rng, rounds, kinds):
    """Rows 1, 6 and 7: whatever becomes of answers, no word is taken for another, and all CPUs are back after it."""
    for _ in range(rounds(1)):
        cpus.tell(f"fault late-ms {rng.choice([10, 60, 150])}")
        cpus.faults(rng.randint(50, 400), kinds)
        wait_until(lambda: cpus.spoiled() >= 80, 60, "faulty answers")
        cpus.heal()
        rig.wait_online()
        rig.wait_polls("d0", 3)
    rig.finish()
    assert check_values(rig) > 500
    rig.check_good()


def test_slow_hung_and_split(rig, cpus, rng, rounds):
    """Rows 2, 4 and 5: byte by byte costs nothing; a CPU that hangs or is too slow is found out, and comes back."""
    for _ in range(rounds(1)):
        failed = rig.state("d0")["stats"]["polls_failed"]
        cpus.tell("fault coalesce-ms 5")
        rig.wait_polls("d0", 5)
        cpus.tell("fault none -")
        assert rig.state("d0")["stats"]["polls_failed"] == failed
        for fault in rng.sample(["delay-ms 300", "half-open on", "refuse on"], 3):
            cpus.tell(f"fault {fault}")
            cpus.tell("drop")
            wait_until(lambda: all(rig.state(f"d{i}")["status"] != "online" and rig.state(f"d{i}")["last_error"]
                                   for i in range(CPUS)), 30, f"{fault} being found out")
            cpus.tell("fault none -")
            cpus.tell("drop")
            rig.wait_online(guard=40)
    rig.finish()
    check_values(rig)
    rig.check_good()


def test_blocks_that_vanish_come_back(rig, cpus, rng, rounds):
    """Row 9: a download takes a block away or shrinks it: its words are bad, the others go on, and all heal."""
    for _ in range(rounds(1)):
        block, left = rng.randint(1, BLOCKS), rng.choice([0, STEP + 2])
        cpus.tell(f"db {block} {left}")
        gone = [f"uns/test/d0/b{block}w{n}" for n in range(EACH) if n * STEP + 2 > left]
        stay = [f"uns/test/d0/b{b}w0" for b in range(1, BLOCKS + 1) if b != block]
        newest = lambda: {t: r[-1][2] for t, r in books.series(rig.platform, gone + stay).items() if r}  # noqa: E731
        wait_until(lambda: all(newest().get(t, 192) < 64 for t in gone), 30, "the missing words being bad", every=0.2)
        wait_until(lambda: all(newest().get(t, 0) >= 192 for t in stay), 30, "the others being good", every=0.2)
        assert rig.state("d0")["status"] == "online"
        cpus.tell(f"db {block} full")
        cpus.tell("provenance")
        wait_until(lambda: all(newest().get(t, 0) >= 192 for t in gone + stay), 40, "all being good again", every=0.2)
    rig.finish()
    for i in range(CPUS):
        topics = [f"uns/test/d{i}/b{b}w{n}" for b in range(1, BLOCKS + 1) for n in range(EACH)]
        for topic, values in rig.numbers(topics).items():
            block, word = topic.rsplit("/b", 1)[1].split("w")
            # A block that is new is zero until it is filled.
            assert set(values) <= {0, expected(int(block), int(word) * STEP)}, topic
    rig.check_good()
