"""The read plan of a device, and the form that is made of the drivers' tables."""
import pytest
from playwright.sync_api import expect

from support.fake_gateway import FakeGateway
from support.process import free_port

from .conftest import AXE, DIST, device_body, log_in
from .test_accessibility import check

PLAN = {
    "device_id": "mixer-01", "protocol": "modbus-tcp", "is_connected": True,
    "cycle": {"requests": 2, "bytes_out": 24, "bytes_in": 40, "gap_bytes": 16, "holes": 1, "predicted_ms": 4.1, "achieved_ms": 5.2},
    "lists": [{"interval_ms": 250, "priority": "telemetry", "achieved_interval_ms": 400, "polls": 9, "skipped": 3, "read_ms_avg": 5.2,
               "requests": [
                   {"text": "unit 1 read holding 0-10", "bytes_out": 12, "bytes_in": 31, "gap_bytes": 16, "tags": ["level", "setpoint"], "hole": None},
                   {"text": "unit 1 read holding 20-21", "bytes_out": 12, "bytes_in": 9, "gap_bytes": 0, "tags": ["count"], "hole": "illegal data address"}]}],
    "tags": [{"id": "level", "address": "holding:0", "interval_ms": 250, "achieved_interval_ms": 400, "request": 0, "hole": None, "quality": 192},
             {"id": "setpoint", "address": "holding:10", "interval_ms": 250, "achieved_interval_ms": 251, "request": 0, "hole": None, "quality": 192},
             {"id": "count", "address": "holding:20", "interval_ms": 250, "achieved_interval_ms": None, "request": 1, "hole": "illegal data address", "quality": 4}]}


@pytest.fixture
def gateway():
    fake = FakeGateway(free_port())
    yield fake
    fake.close()


@pytest.fixture
def served(platform, gateway):
    """The platform, with a core that asks the fake gateway."""
    platform.write_devices([])
    platform.extra["core"] += [f"http.static_dir={DIST}", f"core.gateway_url=http://127.0.0.1:{gateway.server.server_port}"]
    return platform.start()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plan_shows_cost_holes_and_who_gets_less(open_page, served, gateway, plant, scheme):
    served.log_in().post("/api/v1/devices", device_body(plant))
    page = open_page(color_scheme=scheme)
    page.context.add_init_script(path=AXE)
    log_in(page)
    page.goto("/devices/mixer-01")
    page.get_by_text("Read plan", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()  # this gateway knows no plans yet
    check(page, "without a plan")
    gateway.say("/admin/v1/devices/mixer-01/plan", PLAN)
    page.reload()
    requests = page.get_by_role("table", name="Requests")
    expect(requests.get_by_role("row")).to_have_count(3)
    expect(requests.get_by_text("illegal data address")).to_be_visible()
    shorts = page.get_by_role("table", name="2 of 3 tags")
    expect(shorts.get_by_role("row").nth(1)).to_contain_text("count")
    expect(shorts.get_by_role("row").nth(2)).to_contain_text("400 ms")
    check(page, "the plan")
    page.get_by_role("radiogroup", name="View").get_by_text("Tags").click()
    expect(page.get_by_role("grid", name="Tags")).to_be_visible()


def test_the_form_has_what_the_driver_has(open_page, served):
    api = served.log_in()
    modbus = next(d for d in api.get("/api/v1/drivers")["items"] if d["name"] == "modbus-tcp")
    page = open_page()
    log_in(page)
    page.goto("/devices/new")
    page.get_by_text("Further settings").click()
    for setting in modbus["settings"]:
        if setting["key"] != "slave_id":  # the older name of unit_id
            expect(page.locator(f"[name='connection.{setting['key']}']")).to_have_count(1)
    page.get_by_label("Id", exact=True).fill("pump")
    page.get_by_role("button", name="Create device").click()
    expect(page.get_by_text("Needed.")).to_be_visible()
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port").fill("99999")
    page.get_by_label("Timeout", exact=True).fill("1 hour")
    page.get_by_role("button", name="Create device").click()
    expect(page.get_by_text("A whole number from 1 to 65,535.").or_(page.get_by_text("from 1 to 65535"))).to_be_visible()
    expect(page.get_by_text("Number and unit")).not_to_have_count(0)
    page.get_by_label("Port").fill("1502")
    page.get_by_label("Timeout", exact=True).fill("")
    page.get_by_role("button", name="Create device").click()
    expect(page.get_by_role("heading", name="pump")).to_be_visible()
    assert api.get("/api/v1/devices/pump")["connection"] == {"host": "127.0.0.1", "port": 1502}


@pytest.mark.parametrize("protocol, label, fields", [
    ("s7", "Siemens S7", {"host": "192.0.2.10"}),
    ("modbus-rtu", "Modbus RTU (serial)", {"serial_port": "/dev/ttyUSB0"}),
])
def test_a_device_of_any_protocol_can_be_made(open_page, served, protocol, label, fields):
    api = served.log_in()
    driver = next(d for d in api.get("/api/v1/drivers")["items"] if d["name"] == protocol)
    page = open_page()
    log_in(page)
    page.goto("/devices/new")
    page.get_by_role("combobox", name="Protocol").click()
    page.get_by_role("option", name=label, exact=True).click()
    for setting in driver["settings"]:
        if setting["key"] != "slave_id":
            expect(page.locator(f"[name='connection.{setting['key']}']")).to_have_count(1)
    page.get_by_label("Id", exact=True).fill(protocol)
    for key, value in fields.items():
        page.locator(f"[name='connection.{key}']").fill(value)
    page.get_by_role("button", name="Create device").click()
    expect(page.get_by_role("heading", name=protocol)).to_be_visible()
    stored = api.get(f"/api/v1/devices/{protocol}")
    assert stored["protocol"] == protocol and stored["connection"] == fields
    page.get_by_role("button", name="Add tag").first.click()
    expect(page.get_by_role("dialog").get_by_label("Address", exact=True)).to_be_visible()
    expect(page.get_by_role("combobox", name="Register table")).to_have_count(1 if protocol == "modbus-rtu" else 0)
