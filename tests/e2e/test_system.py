"""The page System on a real platform: the verdict of the books, ingestion, and a message that nobody could use."""
import re

import pytest
from playwright.sync_api import Page, expect

from support.broker import Listener
from support.process import wait_until

from .conftest import AXE, device_body, log_in
from .test_accessibility import check

MARKUP = '<img src=x onerror="document.title=\'owned\'">'


def section(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def stored(page: Page) -> int:
    return number(section(page, "Ledger").get_by_text("Stored values").first.locator("xpath=following-sibling::dd").inner_text())


def is_settled(served) -> bool:
    totals = served.api.get("/api/v1/system/ledger")["totals"]
    return totals["points"] > 10 and totals["missing"] == 0


@pytest.fixture
def sender(served):
    client = Listener(served.broker.port, "uns/shop/#")
    yield client
    client.close()


@pytest.fixture
def system_page(page, served, plant) -> Page:
    served.log_in().post("/api/v1/devices", device_body(plant))
    wait_until(lambda: is_settled(served), 30, "values in the books")
    log_in(page)
    page.get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", name="System", level=1)).to_be_visible()
    return page


def test_the_books_and_a_message_that_nobody_can_use(system_page, sender):
    page = system_page
    expect(section(page, "Ledger").get_by_role("status")).to_have_text("Every value is accounted for")
    lane = page.get_by_role("table", name="Gateways and lanes").get_by_role("row").nth(1)
    expect(lane).to_contain_text("Online")
    before = stored(page)
    assert before > 10
    wait_until(lambda: stored(page) > before, 20, "the page refreshing by itself")
    expect(page.get_by_text("Database: takes values")).to_be_visible()

    letters = section(page, "Dead letters")
    expect(letters.get_by_role("heading", name="No dead letters")).to_be_visible()
    for _ in range(3):
        sender.publish("uns/shop/scale", MARKUP)
    row = letters.get_by_role("table").get_by_role("row").filter(has_text="uns/shop/scale")
    expect(row.get_by_role("cell").nth(1)).to_have_text("3")
    row.get_by_text(MARKUP).first.click()
    expect(row.locator("pre")).to_have_text(MARKUP)
    expect(page).to_have_title(re.compile("^System"))
    assert letters.locator("img").count() == 0
    errors = page.get_by_role("table", name="Errors since the start")
    expect(errors.get_by_role("row").nth(1).get_by_role("cell").last).to_have_text("3")


def test_without_ingestion_the_books_still_speak(system_page, served):
    page = system_page
    served.roles["ingest"].kill()
    expect(section(page, "Ingestion").get_by_role("alert")).to_contain_text("Check that `nexus ingest` is running.")
    expect(section(page, "Dead letters").get_by_role("alert")).to_be_visible()
    expect(section(page, "Ledger").get_by_role("status")).to_have_text("Every value is accounted for")
    served.start_role("ingest")
    expect(page.get_by_text("Database: takes values")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_with_content_also_on_a_phone(open_page, served, plant, sender, scheme):
    served.log_in().post("/api/v1/devices", device_body(plant))
    sender.publish("uns/shop/scale", b"\x82\xa1\xff")
    wait_until(lambda: served.api.get("/api/v1/system/dead-letters")["items"] and is_settled(served), 30, "something to show")
    page = open_page(color_scheme=scheme)
    page.context.add_init_script(path=AXE)
    log_in(page)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/system")
        expect(section(page, "Dead letters").get_by_text("82 a1 ff").first).to_be_visible()
        check(page, f"system at {width}")
        assert page.get_by_role("table", name="Gateways and lanes").get_by_role("row").nth(1).get_by_role("cell").count() == 12
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
