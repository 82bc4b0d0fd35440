"""Fixtures of the browser tests: the platform with the built web UI, a foreign Modbus server, headless Chromium."""
import pathlib
import shutil

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from .plant import Plant

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DIST = ROOT / "web" / "dist"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
PASSWORD = "correct horse battery"

# Without a sandbox because tests run as root; nothing of Chromium's own traffic to the internet.
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run", "--disable-dev-shm-usage"]

# The browser reports every answer of 400 and above as an error; tests that provoke one look at the page instead.
EXPECTED = ("Failed to load resource", "WebSocket connection to")

expect.set_options(timeout=15_000)


class Console:
    """What the page has reported; content security violations and exceptions fail the test."""

    def __init__(self, page: Page):
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("console", lambda message: self.take(message.type, message.text))

    def take(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(EXPECTED):
            self.faults.append(f"{kind}: {text}")


@pytest.fixture(scope="session")
def chromium():
    assert (DIST / "index.html").exists(), "web/dist is missing: tools/web-build"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def plant():
    """A Modbus TCP server of pymodbus: nothing in it comes from us."""
    with Plant() as running:
        yield running


@pytest.fixture
def served(platform):
    """Broker, gateway, ingestion and core, the core with the web UI; not set up yet, no devices."""
    platform.write_devices([])
    platform.extra["core"] += [f"http.static_dir={DIST}"]
    return platform.start()


@pytest.fixture
def open_page(chromium, served):
    """open_page(color_scheme="dark") gives a page of its own, with its own cookies."""
    consoles, contexts = [], []

    def open_one(**options) -> Page:
        context = chromium.new_context(base_url=served.api.base, viewport={"width": 1400, "height": 900},
                                       **{"locale": "en-GB", "timezone_id": "UTC", **options})
        contexts.append(context)
        page = context.new_page()
        consoles.append(Console(page))
        return page

    yield open_one
    faults = [fault for console in consoles for fault in console.faults]
    for context in contexts:
        context.close()
    assert not faults, "the browser reported:\n" + "\n".join(faults)


@pytest.fixture
def page(open_page) -> Page:
    return open_page()


def set_up(page: Page, code: str) -> None:
    page.goto("/")
    page.get_by_label("Set-up code").fill(code)
    page.get_by_label("Administrator name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat password").fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()


def log_in(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()


def device_body(plant: Plant, device_id: str = "mixer-01") -> dict:
    """The plant as a device with its tags, for tests that are not about adding it by hand."""
    tag = {"register_type": "holding_register", "access_mode": "read"}
    return {
        "id": device_id, "name": "Mixer 1", "protocol": "modbus-tcp", "poll_interval": "250ms",
        "uns_prefix": f"uns/test/{device_id}",
        "connection": {"host": "127.0.0.1", "port": plant.port, "slave_id": 1, "timeout": "1s"},
        "tags": [
            {**tag, "id": "level", "name": "Tank level", "address": "0", "data_type": "float32", "unit": "%"},
            {**tag, "id": "setpoint", "name": "Speed set-point", "address": "10", "data_type": "uint16",
             "unit": "1/min", "access_mode": "readwrite", "clamp_min": 0, "clamp_max": 3000},
            {**tag, "id": "count", "name": "Bottles", "address": "20", "data_type": "uint32"},
        ],
    }
