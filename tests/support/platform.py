"""The platform as its separate processes, without the supervisor, so that a test can kill any of them."""
import pathlib
import re

import requests
import yaml

from .broker import Mosquitto
from .process import Process, Processes, free_port, port_is_open, wait_until


class Api:
    """A logged-in client of the core's API (session of a machine: bearer token)."""

    def __init__(self, base: str):
        self.base, self.session = base, requests.Session()

    def request(self, method: str, path: str, expect: int | tuple | None = None, **more) -> requests.Response:
        reply = self.session.request(method, self.base + path, timeout=30, **more)
        if expect is not None:
            wanted = expect if isinstance(expect, tuple) else (expect,)
            assert reply.status_code in wanted, f"{method} {path}: {reply.status_code} {reply.text[:800]}"
        return reply

    def get(self, path: str, expect=200, **more):
        return self.request("GET", path, expect, **more).json()

    def post(self, path: str, body=None, expect=(200, 201), **more) -> requests.Response:
        return self.request("POST", path, expect, json=body, **more)

    def set_up(self, code: str, username: str = "admin", password: str = "correct horse battery") -> None:
        self.post("/api/v1/auth/setup", {"code": code, "username": username, "password": password})
        self.log_in(username, password)

    def log_in(self, username: str = "admin", password: str = "correct horse battery") -> None:
        self.session = requests.Session()
        token = self.post("/api/v1/auth/login", {"username": username, "password": password}).json()["access_token"]
        self.session.cookies.clear()
        self.session.headers["Authorization"] = f"Bearer {token}"


class Platform:
    def __init__(self, processes: Processes, build: pathlib.Path, directory: pathlib.Path):
        self.processes, self.nexus, self.directory = processes, build / "nexus", directory
        self.broker = Mosquitto(processes, directory)
        self.gateway_port, self.ingest_port, self.http_port = free_port(), free_port(), free_port()
        self.devices_path = directory / "devices.yaml"
        self.history = directory / "history"
        self.roles: dict[str, Process] = {}
        self.api = Api(f"http://127.0.0.1:{self.http_port}")
        self.extra: dict[str, list[str]] = {"gateway": [], "ingest": [], "core": []}

    def write_devices(self, devices: list[dict]) -> None:
        self.devices_path.write_text(yaml.safe_dump({"devices": devices}, sort_keys=False))

    def sets(self, role: str) -> list[str]:
        common = [f"mqtt.broker_url=mqtt://127.0.0.1:{self.broker.port}"]
        own = {
            "gateway": [f"http.port={self.gateway_port}", f"buffer.disk_path={self.directory}/spool-gateway",
                        f"devices.config_path={self.devices_path}"],
            "ingest": [f"http.port={self.ingest_port}", f"historian.url=sqlite:{self.history}",
                       f"buffer.disk_path={self.directory}/spool-ingest"],
            "core": [f"http.port={self.http_port}", f"core.data_dir={self.directory}/core",
                     f"historian.url=sqlite:{self.history}", f"core.gateway_url=http://127.0.0.1:{self.gateway_port}",
                     f"core.ingest_url=http://127.0.0.1:{self.ingest_port}", f"devices.config_path={self.devices_path}"],
        }
        return [part for text in common + own[role] + self.extra[role] for part in ("--set", text)]

    def start_role(self, role: str, env: dict | None = None) -> Process:
        port = {"gateway": self.gateway_port, "ingest": self.ingest_port, "core": self.http_port}[role]
        process = self.processes.start(role, self.nexus, role, *self.sets(role), env=env)
        self.roles[role] = process
        wait_until(lambda: port_is_open(port) or not process.is_running(), what=f"{role} listening")
        assert process.is_running(), f"{role} ended at once:\n{process.text()}"
        return process

    def start_ingest(self, name: str, *sets: str) -> Process:
        """One more instance of ingestion, with a spool and a name of its own; .port is its admin port."""
        port = free_port()
        own = [f"http.port={port}", f"mqtt.client_id=nexus-{name}", f"buffer.disk_path={self.directory}/spool-{name}", *sets]
        process = self.processes.start(name, self.nexus, "ingest", *self.sets("ingest"),
                                       *[part for text in own for part in ("--set", text)])
        process.port = port
        self.roles[name] = process
        wait_until(lambda: port_is_open(port) or not process.is_running(), what=f"{name} listening")
        assert process.is_running(), f"{name} ended at once:\n{process.text()}"
        return process

    def start(self, *roles: str) -> "Platform":
        self.broker.start()
        for role in roles or ("gateway", "ingest", "core"):
            self.start_role(role)
        return self

    def setup_code(self) -> str:
        return (self.directory / "core" / "setup-code").read_text().strip()

    def log_in(self) -> Api:
        self.api.set_up(self.setup_code())
        return self.api

    def status(self, role: str) -> dict:
        port = {"gateway": self.gateway_port, "ingest": self.ingest_port}[role]
        return requests.get(f"http://127.0.0.1:{port}/status", timeout=10).json()

    def api_gateway(self, path: str) -> dict:
        """The gateway's own admin port."""
        reply = requests.get(f"http://127.0.0.1:{self.gateway_port}{path}", timeout=10)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def metrics(self, role: str) -> dict[str, float]:
        port = {"gateway": self.gateway_port, "ingest": self.ingest_port, "core": self.http_port}[role]
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.M)}
