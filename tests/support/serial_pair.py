"""A serial cable: two ptys, what is written to one comes out of the other. And the same cable pulled out."""
import os
import pathlib
import select
import threading
import tty


class SerialPair:
    """self.ends are two paths that programs open as serial lines; both stay while the pair lives."""

    def __init__(self, directory: pathlib.Path, name: str = "line"):
        self.masters, self.slaves, self.ends = [], [], []
        for side in ("a", "b"):
            master, slave = os.openpty()
            tty.setraw(slave)
            link = directory / f"{name}-{side}"
            link.symlink_to(os.ttyname(slave))
            self.masters.append(master)
            self.slaves.append(slave)  # open, else the master reads errors while no program has the line
            self.ends.append(link)
        self.stop_read, self.stop_write = os.pipe()
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([*self.masters, self.stop_read], [], [])
            if self.stop_read in ready:
                return
            for master in ready:
                os.write(self.masters[1 - self.masters.index(master)], os.read(master, 4096))

    def close(self) -> None:
        os.write(self.stop_write, b"x")
        self.thread.join(10)
        for fd in (*self.masters, *self.slaves, self.stop_read, self.stop_write):
            os.close(fd)
        for link in self.ends:
            link.unlink(missing_ok=True)
