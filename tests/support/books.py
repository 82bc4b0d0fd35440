"""What became of the values: read from the historian by the API, or from its files by a second reader that shares no code
with it (lite_reader.py), never from the gateway's own counters."""
from .lite_reader import Store
from .platform import Platform

PER_QUERY = 16


def series(platform: Platform, topics: list[str], start: str = "2000-01-01T00:00:00Z",
           end: str = "2060-01-01T00:00:00Z") -> dict[str, list[tuple[int, object, int]]]:
    """All records of some topics: (time in ms, value, quality), in the order of time."""
    found = {}
    for i in range(0, len(topics), PER_QUERY):
        reply = platform.api.post("/api/v1/history:query", {
            "tags": topics[i:i + PER_QUERY], "from": start, "to": end, "fn": "raw", "max_points": 100000}).json()
        for one in reply["series"]:
            found[one["tag"]] = list(zip(one["t"], one["v"], one["q"]))
    return found


def good(records: list[tuple[int, object, int]]) -> list[int]:
    return [int(value) for _, value, quality in records if quality >= 192 and value is not None]


def numbers(platform: Platform, topics: list[str]) -> dict[str, list[int]]:
    """The good values of counters."""
    found = series(platform, topics)
    return {topic: good(found.get(topic, [])) for topic in topics}


def in_files(platform: Platform, topics: list[str]) -> dict[str, list[tuple[int, object, int]]]:
    """All records of some topics as the files of the SQLite historian hold them: (time in us, value, quality). Nothing may
    be stored twice."""
    found = {topic: [] for topic in topics}
    with Store(platform.history) as store:
        for p in store.points(found):
            found[p.topic].append((p.time_us, p.value, p.quality))
        assert not store.doubles, f"stored twice: {store.doubles[:20]}"
    return found


def stored_numbers(platform: Platform, topics: list[str]) -> dict[str, list[int]]:
    """The good values of counters, counted in the files; the API tells the same, but for what is stored meanwhile."""
    before, told, after = in_files(platform, topics), series(platform, topics), in_files(platform, topics)
    for topic in topics:
        by_api = {(round(t * 1000), value, quality) for t, value, quality in told.get(topic, [])}
        assert len(by_api) == len(told.get(topic, [])), f"{topic}: the API tells something twice"
        assert set(before[topic]) <= by_api, f"{topic}: not told: {sorted(set(before[topic]) - by_api)[:20]}"
        assert by_api <= set(after[topic]), f"{topic}: not in the files: {sorted(by_api - set(after[topic]))[:20]}"
    return {topic: good(before[topic]) for topic in topics}


def missing(values: list[int]) -> list[int]:
    """What a counter from 1 has left out."""
    return sorted(set(range(1, values[-1] + 1)) - set(values)) if values else []


def check_counter(name: str, values: list[int]) -> None:
    """In order, and nothing twice."""
    assert values, f"{name}: nothing is stored"
    for before, now in zip(values, values[1:]):
        assert now > before, f"{name}: {now} is stored behind {before}"
