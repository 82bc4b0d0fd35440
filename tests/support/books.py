"""What became of the values: read from the historian by the API, never from the gateway's own counters."""
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


def missing(values: list[int]) -> list[int]:
    """What a counter from 1 has left out."""
    return sorted(set(range(1, values[-1] + 1)) - set(values)) if values else []


def check_counter(name: str, values: list[int]) -> None:
    """In order, and nothing twice."""
    assert values, f"{name}: nothing is stored"
    for before, now in zip(values, values[1:]):
        assert now > before, f"{name}: {now} is stored behind {before}"
