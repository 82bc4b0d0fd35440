"""What a newcomer does in a browser: from the set-up code to live values, a trend, and a write that the device gets."""
import re

from playwright.sync_api import Page, expect

from support.process import wait_until

from .conftest import PASSWORD, device_body, log_in, set_up


def cell(page: Page, row: str, column: int):
    return page.get_by_role("grid", name="Tags").get_by_role("row").filter(has_text=row).get_by_role("gridcell").nth(column)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_from_the_setup_code_to_a_write_that_the_device_gets(page, served, plant):
    # Set-up: no default password; a wrong code is refused with what helps.
    page.goto("/")
    expect(page.get_by_role("heading", name="Set up this installation")).to_be_visible()
    page.get_by_label("Set-up code").fill("WRONG-CODE")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat password").fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    set_up(page, served.setup_code())
    expect(page.get_by_text("No devices yet")).to_be_visible()
    expect(page.get_by_role("status", name="Link to the server")).to_have_text("Live")

    # A device: first with a port where nothing listens, then the right one; each step of the test is shown.
    page.get_by_role("link", name="Add device").first.click()
    page.get_by_label("Id", exact=True).fill("mixer-01")
    page.get_by_label("Name", exact=True).fill("Mixer 1")
    page.get_by_label("Namespace path").fill("uns/test/mixer-01")
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port").fill("1")
    page.get_by_label("Poll interval").fill("250ms")
    test = page.get_by_role("region", name="Connection test")
    test.get_by_role("button", name="Test connection").click()
    expect(test.get_by_label("Failed")).to_be_visible()
    expect(test.get_by_text("What helps")).to_be_visible()
    page.get_by_label("Port").fill(str(plant.port))
    test.get_by_role("button", name="Test connection").click()
    expect(test.get_by_text("The device answers.")).to_be_visible()
    expect(test.get_by_label("Passed")).not_to_have_count(0)
    page.get_by_role("button", name="Create device").click()
    expect(page.get_by_role("heading", name="Mixer 1")).to_be_visible()

    # Two tags.
    expect(page.get_by_text("No tags yet")).to_be_visible()
    page.get_by_role("button", name="Add tag").first.click()
    page.get_by_label("Id", exact=True).fill("level")
    page.get_by_label("Name", exact=True).fill("Tank level")
    page.get_by_label("Address", exact=True).fill("0")
    choose(page, "Data type", "float32")
    page.get_by_label("Unit", exact=True).fill("%")
    page.get_by_role("dialog").get_by_role("button", name="Test connection").click()
    expect(page.get_by_role("dialog").get_by_text("The device answers.")).to_be_visible()
    page.get_by_role("button", name="Create tag").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Add tag").first.click()
    page.get_by_label("Id", exact=True).fill("setpoint")
    page.get_by_label("Address", exact=True).fill("10")
    choose(page, "Access", "Read and write")
    page.get_by_label("Upper limit").fill("3000")
    page.get_by_role("button", name="Create tag").click()
    expect(page.get_by_role("dialog")).to_be_hidden()

    # Live values: good, changing, with an age.
    expect(page.get_by_text("Online").first).to_be_visible()
    expect(cell(page, "level", 3)).to_have_text("Good")
    first = cell(page, "level", 2).inner_text()
    expect(cell(page, "level", 2)).not_to_have_text(first)
    expect(cell(page, "setpoint", 2)).to_have_text(re.compile("1,500"))
    expect(cell(page, "level", 4)).to_have_text(re.compile(r"^\d+ s$"))

    # Write: refused beyond the limit without asking the device, then taken, and read back.
    page.get_by_role("button", name="Write value of setpoint").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New value").fill("4000")
    dialog.get_by_role("button", name="Write value").click()
    expect(dialog.get_by_text("The upper limit of this tag is 3000")).to_be_visible()
    assert plant.register(10) == 1500
    dialog.get_by_label("New value").fill("1234")
    dialog.get_by_role("button", name="Write value").click()
    expect(dialog.get_by_text("The device has taken the value.")).to_be_visible()
    expect(dialog.get_by_text(re.compile("Read back: 1,234"))).to_be_visible()
    assert plant.register(10) == 1234
    dialog.get_by_role("button", name="Close").last.click()
    expect(cell(page, "setpoint", 2)).to_have_text(re.compile("1,234"))

    # What happens at the device is seen here.
    plant.set_register(10, 777)
    expect(cell(page, "setpoint", 2)).to_have_text(re.compile("777"))

    # The trend: history and live tail.
    page.get_by_role("link", name="Open trend of level").click()
    expect(page.get_by_role("img", name="Trend of mixer-01/level")).to_be_visible()
    expect(page.get_by_text("Follows the present")).to_be_visible()
    counted = page.get_by_text(re.compile(r"^[\d,]+ values"))
    before = int(re.sub(r"\D.*", "", counted.inner_text().replace(",", "")))
    wait_until(lambda: int(re.sub(r"\D.*", "", counted.inner_text().replace(",", ""))) > before, 20, "values arriving in the trend")
    page.get_by_role("switch", name="As table").check()
    rows = page.get_by_role("region", name="As table").get_by_role("row")
    wait_until(lambda: rows.count() > 5, 20, "rows in the table of the trend")


def test_values_and_states_follow_failures(page, served, plant):
    served.log_in().post("/api/v1/devices", device_body(plant))
    log_in(page)
    expect(page.get_by_role("row", name="mixer-01")).to_contain_text("Online")

    # The device goes away: state, reason and stale values are shown without reloading.
    plant.stop()
    expect(page.get_by_role("row", name="mixer-01")).not_to_contain_text("Online", timeout=30_000)
    page.get_by_role("row", name="mixer-01").click()
    expect(page.get_by_text(re.compile("refused|connect", re.I)).first).to_be_visible()
    expect(cell(page, "level", 3)).not_to_have_text("Good")

    # The core goes away and comes back: the header says so, and the page recovers by itself.
    link = page.get_by_role("status", name="Link to the server")
    expect(link).to_have_text("Live")
    served.roles["core"].kill()
    expect(link).to_have_text(re.compile(r"Offline since \d\d:\d\d:\d\d"))
    served.start_role("core")
    expect(link).to_have_text("Live", timeout=30_000)


def test_mistakes_name_their_place_and_remedy(page, served, plant):
    served.log_in().post("/api/v1/devices", device_body(plant))
    page.goto("/tags")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").first).to_contain_text("What helps")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Tags", exact=True)).to_be_visible()  # where the visitor wanted to go

    # A taken id, an address that is none.
    page.goto("/devices/new")
    page.get_by_label("Id", exact=True).fill("mixer-01")
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_role("button", name="Create device").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    page.goto("/devices/mixer-01")
    page.get_by_role("button", name="Add tag").click()
    page.get_by_label("Id", exact=True).fill("odd")
    page.get_by_label("Address", exact=True).fill("banana")
    page.get_by_role("button", name="Create tag").click()
    expect(page.get_by_role("dialog").get_by_text(re.compile("banana")).first).to_be_visible()

    page.goto("/devices/nobody")
    expect(page.get_by_role("alert")).to_contain_text("nobody")


def test_edit_and_delete(page, served, plant):
    served.log_in().post("/api/v1/devices", device_body(plant))
    log_in(page)
    page.get_by_role("row", name="mixer-01").click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("Mixer one")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Mixer one")).to_be_visible()
    cell(page, "count", 0).click()
    inspector = page.get_by_role("complementary", name="Details of tag count")
    inspector.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(inspector).to_be_hidden()
    expect(page.get_by_role("grid", name="Tags").get_by_text("count", exact=True)).to_have_count(0)
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete device").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete device").click()
    expect(page.get_by_text("No devices yet")).to_be_visible()


def test_two_engineers_do_not_overwrite_each_other(page, served, plant):
    api = served.log_in()
    api.post("/api/v1/devices", device_body(plant))
    log_in(page)
    page.goto("/devices/mixer-01/edit")
    page.get_by_label("Description").fill("mine")
    stored = api.get("/api/v1/devices/mixer-01")
    api.request("PATCH", "/api/v1/devices/mixer-01", 200, json={"description": "theirs"},
                headers={"If-Match": stored["etag"], "Content-Type": "application/merge-patch+json"})
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("What helps")
    assert api.get("/api/v1/devices/mixer-01")["description"] == "theirs"
    page.get_by_role("button", name="Load again").click()
    expect(page.get_by_label("Description")).to_have_value("theirs")
    page.get_by_label("Description").fill("both")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Mixer 1")).to_be_visible()
    assert api.get("/api/v1/devices/mixer-01")["description"] == "both"


def test_german_and_night_are_kept(open_page, served):
    page = open_page(locale="de-DE")
    page.goto("/")
    expect(page.get_by_role("heading", name="Diese Installation einrichten")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "de"
    served.log_in()
    page.goto("/login")
    page.get_by_label("Benutzername").fill("admin")
    page.get_by_label("Passwort", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Anmelden").click()
    page.get_by_role("button", name="Darstellung und Sprache").click()
    page.get_by_text("Nacht").click()
    page.get_by_text("English").click()
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    assert page.locator("html").get_attribute("data-mantine-color-scheme") == "dark"
