"""What the historian has of each lane of a gateway, read from its files: numbers, points, declared gaps."""
from .lite_reader import Store
from .platform import Platform


class Ledger:
    def __init__(self, platform: Platform, gateway: str | None = None):
        self.platform = platform
        self.gateway = gateway or platform.status("gateway")["id"]
        with Store(platform.history) as store:
            self.total = store.total
            self.counted = sum(1 for _ in store.points())
            lanes = store.ledger()
        self.booked = sum(lane.points for lane in lanes)
        self.lanes = [lane for lane in lanes if lane.gateway == self.gateway]

    def points(self) -> int:
        return sum(lane.points for lane in self.lanes)

    def lost(self) -> int:
        return sum(gap[2] for lane in self.lanes for gap in lane.gaps)

    def causes(self) -> set[str]:
        return {gap[3] for lane in self.lanes for gap in lane.gaps}

    def undeclared(self) -> list[tuple[int, int, int]]:
        """(lane, from, to) of numbers that neither arrived nor stand in a gap record."""
        holes = []
        for lane in self.lanes:
            following = 1
            for first, last in sorted(lane.stored + [gap[:2] for gap in lane.gaps if gap[1] > 0]):
                if first > following:
                    holes.append((lane.lane, following, first - 1))
                following = max(following, last + 1)
        return holes

    def check_count(self) -> None:
        """The files hold as many points as the books of all lanes say, each once."""
        assert self.booked == self.total["points"]
        assert self.counted == self.booked, f"{self.booked} points according to the books, {self.counted} in the files"
        assert self.total["duplicate_points"] == 0


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
    ledger.check_count()
    assert not ledger.undeclared(), ledger.undeclared()
    if status["spool"]["records"] == 0:
        assert ledger.lost() == lost, f"{ledger.lost()} points are declared, {lost} were lost"
    return ledger
