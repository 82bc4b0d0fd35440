"""Counting devices (nexus sim --load) that a test may stop and start anew, with the faults that it chooses."""
import pathlib

from .process import Processes, free_port
from .simulator import Simulator


class Load(Simulator):
    """Devices with the unit ids 1, 2, ... behind one port or on one pseudo terminal.

    It listens on every address of this computer, so that devices at 127.0.x.y have a connection each.
    """

    def __init__(self, processes: Processes, build_dir: pathlib.Path, devices: int, tags: int, *options,
                 port: int | None = None, pty: pathlib.Path | None = None):
        self.processes, self.build_dir = processes, build_dir
        self.port, self.pty = port or free_port(), pty
        place = ["--pty", pty] if pty else ["--host", "0.0.0.0", "--port", self.port]
        self.options = [*place, "--load", devices, "--tags", tags, *options]

    def start(self, *more) -> "Load":
        super().__init__(self.processes, self.build_dir, *self.options, *more)
        return self

    def fault(self, name: str, value="") -> None:
        self.tell(f"fault {name} {value}")

    def faults(self, rate: int, *kinds: str) -> None:
        """So many of 1,000 replies suffer one of the kinds."""
        self.fault("fault-rate", rate)
        for kind in kinds:
            self.fault(kind)

    def spoiled(self) -> int:
        """How many replies suffered something since the last heal()."""
        return sum(n for kind, n in self.drawn().items() if kind != "good")

    def heal(self) -> int:
        """Nothing is wrong any more; returns how many replies suffered something since the last time."""
        self.fault("fault-rate", 0)
        spoiled = self.spoiled()
        self.fault("none")
        return spoiled
