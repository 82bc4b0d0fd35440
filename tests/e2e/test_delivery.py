"""How the UI reaches the browser: small, from nowhere else, under a strict policy."""
import gzip
import re

import requests
from playwright.sync_api import Page, expect

from .conftest import DIST, PASSWORD

FIRST_ROUTE_CAP_BYTES = 350 * 1024


def policy_of(response: requests.Response) -> dict[str, str]:
    header = response.headers["Content-Security-Policy"]
    return dict(part.strip().split(" ", 1) for part in header.split(";") if " " in part.strip())


def test_first_route_is_small_and_from_here_alone(page: Page, served):
    served.log_in()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.goto("/login")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("No devices yet")).to_be_visible()
    foreign = [url for url in seen if not url.startswith((served.api.base, "data:"))]
    assert not foreign
    assets = {url.rsplit("/", 1)[1] for url in seen if "/assets/" in url and url.endswith((".js", ".css"))}
    size = sum(len(gzip.compress((DIST / "assets" / name).read_bytes())) for name in assets)
    assert assets and size <= FIRST_ROUTE_CAP_BYTES, f"{size} bytes in {len(assets)} files"


def test_every_answer_has_a_nonce_of_its_own_and_no_inline_code(served):
    first, second = (requests.get(served.api.base + "/devices", timeout=10) for _ in range(2))
    nonces = [re.search(r"'nonce-([^']+)'", policy_of(r)["script-src"]).group(1) for r in (first, second)]
    assert nonces[0] != nonces[1]
    for response, nonce in zip((first, second), nonces):
        policy = policy_of(response)
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert f"'nonce-{nonce}'" in policy["style-src"]
        assert "__CSP_NONCE__" not in response.text and nonce in response.text
        assert not re.search(r"<script(?![^>]*\bsrc=)", response.text)
        assert response.headers["Cache-Control"] == "no-cache"


def test_assets_are_kept_for_ever_and_compressed(served):
    page = requests.get(served.api.base + "/", timeout=10).text
    script = re.search(r'src="(/assets/[^"]+\.js)"', page).group(1)
    answer = requests.get(served.api.base + script, timeout=10, headers={"Accept-Encoding": "gzip"})
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    missing = requests.get(served.api.base + "/assets/none.js", timeout=10)
    assert missing.status_code == 404, "a missing asset must not be answered with the page"
