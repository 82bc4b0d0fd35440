"""Fault row 9 and the bad register: what a device refuses costs its own tags only, is learned, kept, and heals."""
import json

from support import books
from support.broker import Listener
from support.process import wait_until

MISSING_FROM = 12  # registers behind it vanish
TAGS = 20


def topics(name: str = "d0") -> list[str]:
    return [f"uns/test/{name}/t{i}" for i in range(TAGS)]


def newest(rig) -> dict[str, tuple]:
    return {topic: records[-1] for topic, records in books.series(rig.platform, topics()).items() if records}


def are_good(rig, tags: range) -> bool:
    now = newest(rig)
    return all(now.get(f"uns/test/d0/t{i}", (0, None, 0))[2] >= 192 for i in tags)


def are_bad(rig, tags: range) -> bool:
    now = newest(rig)
    return all(now.get(f"uns/test/d0/t{i}", (0, None, 192))[2] < 64 for i in tags)


def test_device_comes_back_with_another_layout(rig, rng, rounds):
    """Row 9. Registers that vanish make bad tags, the others go on; when they are back, so are the tags. Registers that move
    are never read as others."""
    sim = rig.simulator(1, TAGS).start()
    rig.device("d0", sim, 1, TAGS, probe_interval="1s", retry_count=0)
    rig.start()
    rig.wait_online()
    for _ in range(rounds(1)):
        wait_until(lambda: are_good(rig, range(TAGS)), 40, "all tags being good", every=0.2)
        rig.wait_polls("d0", rng.randint(1, 8))
        sim.process.kill()
        wait_until(lambda: rig.state("d0")["status"] != "online", 30, "the loss being seen")
        sim.start("--vanish", MISSING_FROM)
        # Bad registers are no reason to call the device bad.
        wait_until(lambda: rig.state("d0")["status"] == "online" and are_good(rig, range(MISSING_FROM))
                   and are_bad(rig, range(MISSING_FROM, TAGS)), 40, "only the missing ones being bad", every=0.2)
        sim.heal()
        wait_until(lambda: are_good(rig, range(TAGS)), 40, "the others being back", every=0.2)
        sim.fault("move", 5)
        wait_until(lambda: are_bad(rig, range(5)) and are_good(rig, range(5, TAGS)), 40, "the first ones being bad", every=0.2)
        sim.heal()
    wait_until(lambda: are_good(rig, range(TAGS)), 40, "all tags being good again", every=0.2)
    rig.finish()
    rig.check_good()


def test_what_was_learned_survives_a_restart(rig, rng, rounds):
    """Row 9. After a restart of the gateway the first poll makes as few requests as the last one before it: none is refused."""
    hole = rng.randint(1, TAGS - 2)
    sim = rig.simulator(1, TAGS).start("--exception", hole)
    rig.device("d0", sim, 1, TAGS, probe_interval="1h", retry_count=0)
    rig.start()
    rig.wait_online()
    wait_until(lambda: are_bad(rig, range(hole, hole + 1)), 40, "the hole", every=0.2)
    rig.wait_polls("d0", 3)
    first = rig.state("d0")["stats"]
    assert first["exceptions"] > 0
    wait_until(lambda: "d0" in learned(rig), 20, "what was learned being saved")
    for i in range(rounds(2)):
        gateway = rig.platform.roles["gateway"]
        if i % 2:
            gateway.kill()
        else:
            assert gateway.stop(30) == 0
        asked = sim.requests()
        rig.platform.start_role("gateway")
        rig.wait_online()
        rig.wait_polls("d0", rng.randint(2, 6))
        stats = rig.state("d0")["stats"]
        assert stats["exceptions"] == 0, "the hole is learned anew"
        polls = stats["polls_ok"] + 1  # and the one that may be under way
        assert 2 * (polls - 1) <= stats["requests"] <= 2 * polls, f"{stats['requests']} requests in {stats['polls_ok']} polls"
        assert sim.requests() - asked >= stats["requests"]
    rig.finish()
    values = rig.numbers(topics())
    for topic in topics():
        if topic != f"uns/test/d0/t{hole}":
            books.check_counter(topic, values[topic])
    assert values[f"uns/test/d0/t{hole}"] == []
    rig.check_good(lost=rounds(2))  # an answer may be under way when the gateway ends


def learned(rig) -> str:
    path = rig.platform.directory / "spool-gateway.learned.json"
    return path.read_text() if path.exists() else ""


def test_one_bad_register_among_ten_thousand(rig, rng):
    """It costs exactly one tag."""
    tags, bad = 10000, rng.randrange(10000)
    sim = rig.simulator(1, tags).start("--exception", bad)
    rig.device("d0", sim, 1, tags, interval="2s", probe_interval="1h", timeout="2s")
    rig.start("gateway")
    listener = Listener(rig.platform.broker.port, "uns/test/d0/+")
    wait_until(lambda: len(listener.latest) == tags, 60, "a message of each tag", every=0.2)
    rig.wait_polls("d0", 2)
    refused = lambda: [t for t, p in list(listener.latest.items()) if json.loads(p)["quality"] != "good"]  # noqa: E731
    wait_until(lambda: refused() == [f"uns/test/d0/t{bad}"], 30, "exactly one bad tag", every=0.5)
    assert rig.platform.api_gateway("/admin/v1/devices/d0/plan")["cycle"]["holes"] == 1
    listener.close()
    rig.check_sanitizers()
