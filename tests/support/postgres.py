"""A PostgreSQL server of the test's own: a fresh cluster in a directory, on a free port, stopped or killed by pid."""
import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

from .process import Process, Processes, free_port, wait_until

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "lc_messages": "C",
    "timezone": "UTC",
}


def program(name: str) -> str:
    """A server program: Debian keeps them out of PATH."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)
    path = shutil.which(name) or (found[0] if found else None)
    assert path, f"{name} is missing: tools/deps test"
    return path


def _as_user() -> tuple[list[str], tuple[int, int] | None]:
    """PostgreSQL refuses root: then it runs as the user of its package, or as nobody."""
    if os.getuid() != 0:
        return [], None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], (user.pw_uid, user.pw_gid)
    raise AssertionError("neither a user postgres nor nobody")


class Postgres:
    def __init__(self, processes: Processes, directory: pathlib.Path, primary: "Postgres | None" = None, **settings: str):
        """primary: a running server that this one is to follow as a standby."""
        self.processes, self.directory = processes, pathlib.Path(directory) / ("standby" if primary else "postgres")
        self.port = free_port()
        self.settings = {**SETTINGS, **settings}
        self.prefix, self.owner = _as_user()
        self.process: Process | None = None
        self.password = "s3cret"
        self.directory.mkdir()
        self._let_through()
        self._follow(primary) if primary else self._make()
        self.set(**self.settings, port=self.port, unix_socket_directories=str(self.directory))

    def _follow(self, primary: "Postgres") -> None:
        subprocess.run([*self.prefix, program("pg_basebackup"), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "nexus",
                        "-D", self.data, "-R", "--checkpoint=fast", "--no-sync"], check=True, cwd="/",
                       env={**os.environ, "PGPASSWORD": primary.password})

    def _make(self) -> None:
        secret = self.directory / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        subprocess.run([*self.prefix, program("initdb"), "-D", self.data, "-U", "nexus", "-A", "scram-sha-256",
                        "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _let_through(self) -> None:
        """pytest's directories are for root only, again whenever another run begins."""
        if not self.owner:
            return
        os.chown(self.directory, *self.owner)
        for parent in [self.directory, *self.directory.parents]:
            if parent.stat().st_uid == 0 and parent != pathlib.Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)

    @property
    def data(self) -> pathlib.Path:
        return self.directory / "data"

    @property
    def url(self) -> str:
        return f"postgres://nexus:{self.password}@127.0.0.1:{self.port}/postgres"

    def url_of(self, database: str) -> str:
        return f"postgres://nexus:{self.password}@127.0.0.1:{self.port}/{database}"

    def offer_tls(self, certificate: pathlib.Path) -> None:
        """Of NAME.pem with NAME.key and ca.pem beside it; for connections that begin from now on."""
        for source, name in ((certificate, "server.crt"), (certificate.with_suffix(".key"), "server.key"),
                             (certificate.with_name("ca.pem"), "ca.crt")):
            place = self.data / name
            place.write_bytes(source.read_bytes())
            place.chmod(0o600)
            if self.owner:
                os.chown(place, *self.owner)
        self.set(ssl="on", ssl_ca_file="ca.crt")

    def set(self, **settings: str) -> None:
        with (self.data / "postgresql.conf").open("a") as out:
            out.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        self.reload()

    def let_in(self, *rules: str) -> None:
        """Lines of pg_hba.conf; the first that fits decides."""
        (self.data / "pg_hba.conf").write_text("".join(rule + "\n" for rule in rules))
        self.reload()

    def reload(self) -> None:
        if self.process:
            self.process.popen.send_signal(signal.SIGHUP)

    def disconnect_all(self) -> None:
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nexus-historian'")

    def start(self) -> "Postgres":
        self._let_through()
        self.process = self.processes.start("postgres", *self.prefix, program("postgres"), "-D", self.data)
        wait_until(self._answers, 60, "PostgreSQL answering")
        return self

    def _answers(self) -> bool:
        assert self.process.is_running(), f"PostgreSQL ended:\n{self.process.text()}"
        return subprocess.run([program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0

    def kill(self) -> None:
        """kill -9 of the server and of every process of it: as when the machine's power goes, but for the disk."""
        group = self._backends()
        self.process.kill()
        for pid in group:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in group), 20, "its processes to end")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _backends(self) -> list[int]:
        text = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def stop(self) -> None:
        self.process.popen.send_signal(signal.SIGINT)  # fast shutdown
        self.process.popen.wait(60)

    def sql(self, text: str, database: str = "postgres") -> list[list[str]]:
        done = subprocess.run([program("psql"), "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                               "-p", str(self.port), "-U", "nexus", "-d", database, "-c", text],
                              env={**os.environ, "PGPASSWORD": self.password}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, text: str, database: str = "postgres") -> str:
        return self.sql(text, database)[0][0]

    def new_database(self, name: str) -> str:
        self.sql(f"CREATE DATABASE {name}")
        return self.url_of(name)
