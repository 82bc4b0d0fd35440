"""What the historian has of each lane of a gateway, read from its files: numbers, points, declared gaps."""
import sqlite3

from .platform import Platform


class Ledger:
    def __init__(self, platform: Platform, gateway: str | None = None):
        self.platform = platform
        self.gateway = gateway or platform.status("gateway")["id"]
        with sqlite3.connect(f"file:{platform.history}/hist.db?mode=ro", uri=True) as db:
            lanes = db.execute("SELECT lane_id, lane, points, duplicate_batches FROM lane WHERE gateway = ?", (self.gateway,)).fetchall()
            self.lanes = {row[0]: {"lane": row[1], "points": row[2], "duplicates": row[3]} for row in lanes}
            for lane_id, lane in self.lanes.items():
                lane["stored"] = db.execute("SELECT from_seq, to_seq FROM ledger WHERE lane_id = ?", (lane_id,)).fetchall()
                lane["gaps"] = db.execute("SELECT from_seq, to_seq, points, cause FROM gap WHERE lane_id = ?", (lane_id,)).fetchall()

    def points(self) -> int:
        return sum(lane["points"] for lane in self.lanes.values())

    def lost(self) -> int:
        return sum(gap[2] for lane in self.lanes.values() for gap in lane["gaps"])

    def causes(self) -> set[str]:
        return {gap[3] for lane in self.lanes.values() for gap in lane["gaps"]}

    def undeclared(self) -> list[tuple[int, int, int]]:
        """(lane, from, to) of numbers that neither arrived nor stand in a gap record."""
        holes = []
        for lane in self.lanes.values():
            following = 1
            for first, last in sorted(lane["stored"] + [gap[:2] for gap in lane["gaps"] if gap[1] > 0]):
                if first > following:
                    holes.append((lane["lane"], following, first - 1))
                following = max(following, last + 1)
        return holes


def check_books(platform: Platform) -> Ledger:
    """in = stored + waiting + counted drops, for a gateway that has not been started anew since its spool was empty.

    Taken from both ends at two moments, so it wants a quiet plant."""
    status = platform.status("gateway")
    ledger = Ledger(platform)
    lost = sum(status["spool"]["lost"].values())
    assert status["points"]["dropped"] == lost
    found = ledger.points() + status["spool"]["points"] + lost
    assert status["points"]["passed"] == found, \
        f"{status['points']['passed']} in, {ledger.points()} stored, {status['spool']['points']} wait, {lost} lost"
    assert not ledger.undeclared(), ledger.undeclared()
    if status["spool"]["records"] == 0:
        assert ledger.lost() == lost, f"{ledger.lost()} points are declared, {lost} were lost"
    return ledger
