"""Attacks on the API of the core: who may do what, what ends a login, what strangers can make it do."""
import concurrent.futures
import contextlib
import json
import pathlib
import re
import socket
import time

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from support.platform import Api, Platform
from support.process import Processes, wait_until

PASSWORD = "correct horse battery"
DEVICE = {"id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press", "enabled": False,
          "connection": {"host": "127.0.0.1", "port": 1502},
          "tags": [{"id": "force", "address": "40001", "data_type": "uint16", "access_mode": "readwrite", "scale_factor": 0.2}]}


@pytest.fixture(scope="module")
def core(tmp_path_factory, build_dir):
    """One core without broker and gateway for all attacks: nothing here needs a device."""
    directory = tmp_path_factory.mktemp("security")
    processes = Processes(directory)
    platform = Platform(processes, build_dir, directory)
    platform.write_devices([])
    platform.start_role("core")
    code = platform.setup_code()
    for guess in ("AAAA-AAAA-AAA", "", code[:-1]):
        assert platform.api.request("POST", "/api/v1/auth/setup", json={"code": guess, "username": "eve", "password": PASSWORD}).status_code in (403, 422)
    platform.log_in()
    platform.api.post("/api/v1/devices", DEVICE, 201)
    yield platform
    assert platform.roles["core"].is_running(), platform.roles["core"].text()[-2000:]
    platform.roles["core"].stop()
    log = platform.roles["core"].text()
    assert "Sanitizer" not in log and "runtime error" not in log
    assert PASSWORD not in log and "handler" not in log
    processes.stop_all()


class Browser:
    """A client with a session cookie."""

    def __init__(self, base: str, username: str = "admin", password: str = PASSWORD):
        self.base, self.http = base, requests.Session()
        reply = self.http.post(base + "/api/v1/auth/login", json={"username": username, "password": password}, timeout=10)
        assert reply.status_code == 200, reply.text
        self.login = reply.json()

    def call(self, method: str, path: str, csrf: str | None = None, **more) -> requests.Response:
        headers = {"X-CSRF-Token": csrf} if csrf else {}
        return self.http.request(method, self.base + path, headers={**headers, **more.pop("headers", {})}, timeout=10, **more)

    def bearer(self, path: str = "/api/v1/auth/me") -> int:
        headers = {"Authorization": "Bearer " + self.login["access_token"]}
        return requests.get(self.base + path, headers=headers, timeout=10).status_code

    def refresh(self) -> requests.Response:
        return requests.post(self.base + "/api/v1/auth/refresh", json={"refresh_token": self.login["refresh_token"]}, timeout=10)


def raw(core: Platform, request: bytes, timeout: float = 5) -> bytes:
    with contextlib.closing(socket.create_connection(("127.0.0.1", core.http_port))) as s:
        s.settimeout(timeout)
        s.sendall(request)
        reply = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while part := s.recv(65536):
                reply += part
                if b"\r\n\r\n" in reply:
                    break
        return reply


def open_ws(core: Platform, cookie: str | None = None, origin: str | None = None):
    headers = {"Cookie": "nexus_session=" + cookie} if cookie else {}
    return connect(core.api.base.replace("http", "ws") + "/api/v1/ws", subprotocols=["nexus.v1.json"], origin=origin,
                   additional_headers=headers)


def is_problem(reply: requests.Response) -> bool:
    body = reply.json()
    return (reply.headers["Content-Type"].startswith("application/problem+json") and body["status"] == reply.status_code
            and {"type", "title", "detail", "instance", "code", "trace_id"} <= body.keys())


def test_a_cookie_alone_changes_nothing(core):
    """CSRF: every route that is not GET, all verbs and spellings, with the cookie but without, or with a foreign, token."""
    browser, other = Browser(core.api.base), Browser(core.api.base)
    routes = [(r["method"], r["path"]) for r in core.api.get("/api/v1/system/routes")["items"]
              if r["method"] != "GET" and r["permission"] != "public"]
    assert len(routes) >= 13
    for method, path in routes:
        path = re.sub(r"\{[a-z_]*\}", "press", path)
        for spelling in (path, path.replace("/api/v1/", "/api/"), path.replace(":", "%3A")):
            for token in (None, "", other.login["csrf_token"]):
                reply = browser.call(method, spelling, token, json={})
                assert reply.status_code == 403 and reply.json()["code"] == "csrf_token_wrong", f"{method} {spelling}: {reply.text}"
    assert browser.call("GET", "/api/v1/devices/press").status_code == 200
    # A form of another site can send a login, but not as JSON.
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        reply = requests.post(core.api.base + "/api/v1/auth/login", data='{"username":"admin","password":"%s"}' % PASSWORD,
                              headers={"Content-Type": kind}, timeout=10)
        assert reply.status_code == 415 and "set-cookie" not in reply.headers


def test_logout_ends_everything_of_a_login(core):
    for by_cookie in (True, False):
        browser, other = Browser(core.api.base), Browser(core.api.base)
        cookie = browser.http.cookies["nexus_session"]
        ws = open_ws(core, cookie)
        assert json.loads(ws.recv(timeout=5))["op"] == "hello"
        if by_cookie:
            assert browser.call("POST", "/api/v1/auth/logout", browser.login["csrf_token"]).status_code == 204
        else:
            assert requests.post(core.api.base + "/api/v1/auth/logout", timeout=10,
                                 headers={"Authorization": "Bearer " + browser.login["access_token"]}).status_code == 204
        assert requests.get(core.api.base + "/api/v1/auth/me", cookies={"nexus_session": cookie}, timeout=10).status_code == 401
        assert browser.bearer() == 401, "the access token outlives the logout"
        assert browser.refresh().status_code == 401, "the refresh token outlives the logout"
        with pytest.raises(ConnectionClosed) as end:
            while json.loads(ws.recv(timeout=5))["op"] != "none":
                pass
        assert end.value.rcvd.code == 4001
        assert other.bearer() == 200, "another login of the same user ended too"


def test_a_session_is_new_with_each_login(core):
    fixed = "A" * 43
    reply = requests.post(core.api.base + "/api/v1/auth/login", json={"username": "admin", "password": PASSWORD},
                          cookies={"nexus_session": fixed}, timeout=10)
    cookie = reply.headers["Set-Cookie"]
    assert fixed not in cookie and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert reply.headers["Cache-Control"] == "no-store"
    assert requests.get(core.api.base + "/api/v1/auth/me", cookies={"nexus_session": fixed}, timeout=10).status_code == 401


def test_a_refresh_token_works_once(core):
    browser = Browser(core.api.base)
    first = browser.refresh()
    assert first.status_code == 200 and "refresh_token" in first.json()
    assert browser.refresh().status_code == 401
    again = requests.post(core.api.base + "/api/v1/auth/refresh", json={"refresh_token": first.json()["refresh_token"]}, timeout=10)
    assert again.status_code == 401, "the chain of a stolen token goes on"
    assert browser.bearer() == 401 and browser.call("GET", "/api/v1/auth/me").status_code == 401
    for token in ("", "x" * 513, "x", 5, None, {"a": 1}):
        assert is_problem(requests.post(core.api.base + "/api/v1/auth/refresh", json={"refresh_token": token}, timeout=10))


def test_guesses_of_one_account_count_in_every_spelling(core):
    names = ["mallory", "Mallory", "MALLORY", "mAllory", "malLory", "mallorY"]
    answers = [Api(core.api.base).request("POST", "/api/v1/auth/login", json={"username": n, "password": "guess guess"}).status_code
               for n in names]
    assert answers == [401] * 5 + [429]


def test_live_values_need_a_login_and_our_origin(core):
    cookie = Browser(core.api.base).http.cookies["nexus_session"]
    for origin in ("http://evil.example", "null", core.api.base + ".evil.example", f"http://evil@127.0.0.1:{core.http_port}"):
        with pytest.raises(InvalidStatus) as refusal:
            open_ws(core, cookie, origin)
        assert refusal.value.response.status_code == 403
    with open_ws(core, cookie, core.api.base) as ws:
        assert json.loads(ws.recv(timeout=5))["op"] == "hello"
    for text in ('{"op":"sub","id":1,"kind":"topic","filters":["#"]}', '{"op":"auth","token":"x"}', "[" * 100000, "null",
                 '{"op":5}', '{"op":"auth","token":null}', "{" * 3000 + '"a":' * 10):
        with open_ws(core) as ws:
            assert json.loads(ws.recv(timeout=5))["op"] == "hello"
            ws.send(text)
            assert json.loads(ws.recv(timeout=5))["op"] in ("bye", "err"), text[:60]


def test_members_that_only_the_service_sets_are_refused(core):
    for member in ("version", "etag", "tag_count", "created_at", "updated_at", "status", "role", "__proto__"):
        reply = core.api.request("PATCH", "/api/v1/devices/press", 422, json={member: 5}, headers={"If-Match": "*"})
        assert is_problem(reply) and reply.json()["errors"][0]["pointer"] == "/" + member
    for member in ("device_id", "topic", "version", "value"):
        core.api.request("PATCH", "/api/v1/devices/press/tags/force", 422, json={member: 5}, headers={"If-Match": "*"})
    core.api.request("POST", "/api/v1/auth/login", 422, json={"username": "admin", "password": PASSWORD, "role": "admin"})


def test_numbers_come_back_as_they_were_given(core):
    text = core.api.request("GET", "/api/v1/devices/press/tags/force", 200).text
    assert '"scale_factor":0.2,' in text or '"scale_factor":0.2}' in text, text


ODD_BODIES = [b"", b"null", b"[]", b"1", b'"x"', b"{", b'{"id":"\\u0000"}', b'{"id":"\xff"}', b'{"\\u0000":1}', b"[" * 60000,
              b'{"a":' * 64 + b"1" + b"}" * 64, b"\xef\xbb\xbf{}", b'{"id":1e999}', b'{"id":123456789012345678901234567890}',
              b'{"id":"a","id":"b"}', b'{"id":"\\ud800"}', b'{"id":"' + b"a" * 60000 + b'"}', b'{"id":null,"tags":null}',
              b'{"tags":[[[[]]]]}', b'{"tags":{"a":1}}', b'{"connection":[]}', b'{"ops":[null,1,[],{}]}', b'{"ops":{}}', b'{"value":[]}',
              b'{"value":1,"ttl_ms":-1}', b'{"value":1,"ttl_ms":1e300}', b'{"tags":[1]}', b'{"from":{}}', b'{"code":[],"username":5}']


def test_odd_bodies_are_answered_with_problems(core):
    routes = [(r["method"], re.sub(r"\{device_id\}", "press", r["path"]).replace("{tag_id}", "force"))
              for r in core.api.get("/api/v1/system/routes")["items"]
              if r["method"] in ("POST", "PUT", "PATCH") and "logout" not in r["path"] and not r["path"].endswith("}:test")]
    routes = [(m, p.replace("{device_id}", "press").replace("{user_id}", "99")) for m, p in routes]
    for method, path in routes:
        for body in ODD_BODIES:
            reply = core.api.request(method, path, data=body, headers={"Content-Type": "application/json", "If-Match": "*"})
            if (method, body) == ("PATCH", b"{}") or reply.status_code == 200 and "batch" in path:
                continue  # a list of refused operations is an answer
            assert 400 <= reply.status_code < 500 and is_problem(reply), f"{method} {path} {body[:40]!r}: {reply.status_code} {reply.text[:300]}"
            assert len(reply.json()["detail"]) > 8


ODD_PATHS = ["/devices/%00", "/devices/%ff", "/devices/%2e%2e", "/devices/%", "/devices/%zz", "/devices?cursor=%ff", "/devices?cursor=AAAA",
             "/devices?cursor=////", "/devices?cursor=" + "A" * 4000, "/devices?limit=0", "/devices?limit=-1", "/devices?limit=1e3", "/devices?q=%ff",
             "/devices?q=%25%27%22;--", "/devices?q=" + "%25_" * 900, "/devices/" + "a" * 3000, "/tags?cursor=/wr/", "/tags?limit=5000",
             "/history:query", "/history:query?tags=a&from=99999999999999999999", "/history:query?tags=%ff&from=0", "/history:query?tags=,,,&from=0",
             "/history:query?tags=a&from=0&max_points=1000000000", "/history:query?tags=" + "a," * 65 + "&from=0", "/uns/values?filter=a/%23/b",
             "/uns/values?filter=%ff", "/uns/values?limit=1000000", "/devices?enabled=maybe", "/devices?" + "&".join(["a=b"] * 500), "/auth/../devices"]


def test_odd_paths_do_no_harm(core):
    token = core.api.session.headers["Authorization"].encode()
    for path in ODD_PATHS:
        reply = raw(core, b"GET /api/v1" + path.encode() + b" HTTP/1.1\r\nHost: x\r\nAuthorization: " + token + b"\r\nConnection: close\r\n\r\n")
        assert not reply or re.match(rb"HTTP/1\.[01] (200|4\d\d|503) ", reply), f"{path}: {reply[:200]!r}"
        assert b"\r\nX-Evil" not in reply
    reply = raw(core, b"GET /api/v1/x%0d%0aX-Evil:%20y HTTP/1.1\r\nHost: x\r\nX-Request-Id: a%0d%0aX-Evil: 1\r\nConnection: close\r\n\r\n")
    assert b"\r\nX-Evil" not in reply
    core.api.get("/api/v1/auth/me")


def test_strangers_cannot_send_large_bodies(core):
    """The refusal comes before the body: a stranger fills no memory."""
    for framing in (b"Content-Length: 30000000", b"Transfer-Encoding: chunked"):
        reply = raw(core, b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 401 "), reply[:200]
    reply = raw(core, b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 "), reply[:200]


@pytest.fixture(scope="module")
def users(core) -> dict[str, Browser]:
    ids = {}
    for role in ("viewer", "operator", "engineer"):
        reply = core.api.post("/api/v1/users", {"username": role, "password": PASSWORD, "role": role}, 201).json()
        ids[role] = reply["id"]
    browsers = {role: Browser(core.api.base, role) for role in ids}
    for role, browser in browsers.items():
        browser.id = ids[role]
    return browsers


ROLES = ["viewer", "operator", "engineer", "admin"]
LEAST_ROLE = {"session": "viewer", "devices.read": "viewer", "history.read": "viewer", "live.read": "viewer", "system.read": "viewer",
              "tags.write": "operator", "devices.write": "engineer", "devices.test": "engineer", "devices.record": "engineer", "system.admin": "admin"}


def test_each_role_may_do_what_it_may(core, users):
    """Every route with every role: refused with 403 exactly when the role is too low."""
    routes = [r for r in core.api.get("/api/v1/system/routes")["items"] if r["permission"] != "public" and r["operation"] not in ("logOut", "openLive")]
    for route in routes:
        path = re.sub(r"\{[a-z_]*\}", "0", route["path"])  # nothing has this id: what is allowed does no harm
        for role, browser in users.items():
            reply = browser.call(route["method"], path, browser.login["csrf_token"], json={} if route["method"] not in ("GET", "DELETE") else None)
            is_allowed = ROLES.index(role) >= ROLES.index(LEAST_ROLE[route["permission"]])
            assert (reply.status_code != 403) == is_allowed, f"{role} {route['method']} {path}: {reply.status_code} {reply.text[:300]}"
            if not is_allowed:
                assert reply.json()["code"] == "not_allowed" and role in reply.json()["detail"]
    writes = {r["permission"] for r in routes if r["method"] != "GET"} - {"history.read", "session"}
    assert not writes & {p for p, role in LEAST_ROLE.items() if role == "viewer"}, "a viewer changes something"
    assert users["viewer"].call("GET", "/api/v1/auth/me").json()["user"] == {"username": "viewer", "role": "viewer"}


def test_a_new_role_or_password_counts_at_once(core, users):
    victim, path = users["engineer"], f"/api/v1/users/{users['engineer'].id}"
    assert core.api.request("PATCH", path, 200, json={"role": "viewer"}).json()["role"] == "viewer"
    assert victim.bearer() == 401 and victim.refresh().status_code == 401
    assert victim.call("GET", "/api/v1/auth/me").status_code == 401
    victim = Browser(core.api.base, "engineer")
    assert victim.call("DELETE", "/api/v1/devices/press", victim.login["csrf_token"]).status_code == 403
    core.api.request("PATCH", path, 200, json={"password": "another long one"})
    assert victim.bearer() == 401
    assert requests.post(core.api.base + "/api/v1/auth/login", json={"username": "engineer", "password": PASSWORD}, timeout=10).status_code == 401
    victim = Browser(core.api.base, "Engineer", "another long one")
    core.api.request("DELETE", path, 204)
    assert victim.bearer() == 401 and victim.refresh().status_code == 401
    core.api.request("DELETE", path, 404)


def test_everybody_changes_his_own_password(core, users):
    here, there = Browser(core.api.base, "viewer"), Browser(core.api.base, "viewer")

    def change(current: str, password: str) -> int:
        return here.call("POST", "/api/v1/auth/password", here.login["csrf_token"], json={"current_password": current, "password": password}).status_code

    assert change("wrong wrong", "another long one") == 422 and change(PASSWORD, "short") == 422
    assert there.bearer() == 200
    assert change(PASSWORD, "another long one") == 204
    assert here.bearer() == 200 and there.bearer() == 401 and there.refresh().status_code == 401
    assert change("another long one", PASSWORD) == 204
    assert [change(f"guess {i} guess", PASSWORD) for i in range(6)] == [422] * 5 + [429]


def test_an_administrator_always_stays(core):
    me = next(u for u in core.api.get("/api/v1/users")["items"] if u["username"] == "admin")
    assert me.keys() == {"id", "username", "role", "created_at"}, "a secret of the user"
    path = f"/api/v1/users/{me['id']}"
    assert core.api.request("DELETE", path, 409).json()["code"] == "last_admin"
    assert core.api.request("PATCH", path, 409, json={"role": "engineer"}).json()["code"] == "last_admin"
    core.api.post("/api/v1/users", {"username": "ADMIN", "password": PASSWORD, "role": "viewer"}, 409)
    second = core.api.post("/api/v1/users", {"username": "second", "password": PASSWORD, "role": "admin"}, 201).json()
    core.api.request("PATCH", f"/api/v1/users/{second['id']}", 200, json={"role": "viewer"})
    other = Browser(core.api.base)
    core.api.request("PATCH", path, 200, json={"password": PASSWORD + "!"})
    assert other.bearer() == 401 and core.api.get("/api/v1/auth/me")["user"]["username"] == "admin", "own login ended"
    core.api.request("PATCH", path, 200, json={"password": PASSWORD})
    for body in ({}, {"role": "root"}, {"password": "short"}, {"username": "x"}, {"id": 1}, {"password_hash": "x"}):
        core.api.request("PATCH", path, 422, json=body)
    for name in ("", "a b", "../x", "a\nb", "-a", "x" * 65, "\u00e4", "<b>"):
        core.api.post("/api/v1/users", {"username": name, "password": PASSWORD, "role": "viewer"}, 422)


def test_a_flood_of_logins_leaves_room_for_others(core):
    """Password hashes take time on purpose; they may not take every worker."""
    def guess(i: int) -> int:
        return requests.post(core.api.base + "/api/v1/auth/login", json={"username": f"nobody{i}", "password": "guess guess"}, timeout=30).status_code

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        guesses = [pool.submit(guess, i) for i in range(80)]
        time.sleep(0.1)
        start = time.monotonic()
        core.api.get("/api/v1/devices/press")
        elapsed = time.monotonic() - start
        codes = {g.result() for g in guesses}
    assert codes <= {401, 429, 503} and 401 in codes
    assert elapsed < 1.5, f"a reader waited {elapsed:.1f} s behind logins"


def test_secrets_stay_secret(core):
    """No answer and no file that others may read holds a hash, a key or a token."""
    texts = [core.api.request("GET", p).text for p in ("/api/v1/system/status", "/status", "/metrics", "/health/ready", "/api/v1/devices", "/api/v1/auth/me")]
    for text in texts:
        assert "argon2" not in text and "csrf_key" not in text and PASSWORD not in text
    private = [p for p in pathlib.Path(core.directory / "core").iterdir() if p.is_file()]
    assert private and (core.directory / "core").stat().st_mode & 0o077 == 0
    assert not (core.directory / "core" / "setup-code").exists(), "the set-up code outlives its use"
    late = Api(core.api.base).request("POST", "/api/v1/auth/setup", json={"code": "AAAA-AAAA-AAA", "username": "eve", "password": PASSWORD})
    assert late.status_code in (403, 409) and is_problem(late)


def test_pages_hold_while_the_list_changes(core):
    ids = [f"pump{i:02}" for i in range(9)]
    for name in ids:
        core.api.post("/api/v1/devices", {**DEVICE, "id": name, "uns_prefix": f"acme/{name}", "tags": []}, 201)
    seen, cursor = [], ""
    while cursor is not None:
        page = core.api.get("/api/v1/devices", params={"limit": 2, "cursor": cursor})
        seen += [d["id"] for d in page["items"]]
        cursor = page["next_cursor"]
        if len(seen) == 4:  # the very row that the cursor names, and one behind it
            for name in (seen[-1], "pump07"):
                core.api.request("DELETE", f"/api/v1/devices/{name}", 204, headers={"If-Match": "*"})
    assert len(seen) == len(set(seen)) and set(ids) - {"pump07"} <= set(seen) and "pump07" not in seen


def test_a_foreign_site_cannot_reach_the_gateway_through_a_browser(processes, build_dir, tmp_path):
    """DNS rebinding: the admin port asks for no login, so a page whose name leads to 127.0.0.1 must get nothing."""
    platform = Platform(processes, build_dir, tmp_path)
    platform.write_devices([])
    platform.start_role("gateway")
    url = f"http://127.0.0.1:{platform.gateway_port}/admin/v1/devices"
    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(url, timeout=10, headers={"Host": "localhost:8081"}).status_code == 200
    for method, path in (("GET", url), ("POST", url + ":test")):
        reply = requests.request(method, path, timeout=10, headers={"Host": "evil.example:8081"}, json={} if method == "POST" else None)
        assert reply.status_code == 403 and reply.json()["code"] == "host_unknown", reply.text
