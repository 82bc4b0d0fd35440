"""axe-core on every page, by day and by night: no violation of WCAG 2.2 A and AA, nor of its best practices."""
import pytest
from playwright.sync_api import Page, expect

from .conftest import AXE, device_body, log_in

RUN = """async () => {
  // Mantine's dialogs carry a <header> of their own outside the landmarks; they are dialogs, not pages.
  const rules = { 'landmark-no-duplicate-banner': { enabled: false }, 'landmark-unique': { enabled: false } };
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const result = await axe.run(document, { runOnly: tags, rules });
  return result.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`);
}"""


def check(page: Page, name: str) -> None:
    page.wait_for_timeout(400)  # a dialog that still fades in has no contrast yet
    violations = page.evaluate(RUN)
    assert not violations, f"{name}:\n" + "\n".join(violations)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page(open_page, served, plant, scheme):
    page = open_page(color_scheme=scheme)
    page.context.add_init_script(path=AXE)
    page.goto("/setup")
    expect(page.get_by_role("heading", name="Set up this installation")).to_be_visible()
    check(page, "set-up")
    served.log_in().post("/api/v1/devices", device_body(plant))
    page.goto("/login")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    check(page, "login, refused")
    log_in(page)
    check(page, "devices")
    pages = {
        "/devices/mixer-01?tag=mixer-01/setpoint": "Mixer 1",
        "/devices/new": "Add device",
        "/devices/mixer-01/edit": "Edit device mixer-01",
        "/devices/mixer-01?view=plan": "Mixer 1",
        "/devices/nobody": "nobody",
        "/tags": "Tags",
        "/trends": "Trends",
        "/trends?pens=mixer-01/level,mixer-01/setpoint": "Trends",
        "/system": "System",
        "/nowhere": "There is no such page",
    }
    for path, heading in pages.items():
        page.goto(path)
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
        check(page, path)
    page.goto("/devices/mixer-01")
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "add tag")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Write value of setpoint").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "write")


def test_table_by_keyboard_alone(page, served, plant):
    served.log_in().post("/api/v1/devices", device_body(plant))
    log_in(page)
    page.goto("/tags")
    rows = page.get_by_role("grid", name="Tags").get_by_role("row")
    expect(rows).to_have_count(4)
    rows.nth(1).focus()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(2)).to_be_focused()
    page.keyboard.press("End")
    expect(rows.nth(3)).to_be_focused()
    page.keyboard.press("Home")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary")).to_be_hidden()
