"""The API against its description, both ways, and every route against every role."""
import pathlib

import jsonschema
import pytest
import requests
import yaml

from support.process import wait_until
from support.platform import Api

SPEC = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "docs" / "api" / "openapi.yaml").read_text())
ROLES = ["viewer", "operator", "engineer", "admin"]
DEVICE = {"id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press", "enabled": False,
          "connection": {"host": "127.0.0.1", "port": 1502},
          "tags": [{"id": "force", "address": "40001", "data_type": "uint16", "access_mode": "readwrite"}]}


def described() -> set[tuple[str, str]]:
    methods = {"get", "post", "put", "patch", "delete"}
    return {(m.upper(), path) for path, item in SPEC["paths"].items() for m in item if m in methods}


def resolve(node: dict) -> dict:
    while "$ref" in node:
        target = SPEC
        for part in node["$ref"].split("/")[1:]:
            target = target[part]
        node = target
    return node


@pytest.fixture
def live(platform):
    platform.write_devices([])
    platform.start()
    platform.log_in()
    platform.api.post("/api/v1/devices", DEVICE, 201)
    return platform


def test_routes_and_description_agree(live):
    served = {(r["method"], r["path"]) for r in live.api.get("/api/v1/system/routes")["items"]}
    assert served - described() == set(), "served but not described"
    assert described() - served == set(), "described but not served"


def test_replies_match_their_schemas(live):
    root = {"$defs": SPEC["components"]["schemas"]}

    def schema_for(operation: dict) -> dict | None:
        reply = resolve(operation["responses"].get("200", {}))
        content = reply.get("content", {}).get("application/json")
        return content and content["schema"]

    tag = live.api.request("GET", "/api/v1/devices/press", 200).headers["ETag"]
    live.api.request("PATCH", "/api/v1/devices/press", 200, json={"enabled": True},
                     headers={"Content-Type": "application/merge-patch+json", "If-Match": tag})
    wait_until(lambda: live.api.request("GET", "/api/v1/devices/press:plan").status_code == 200,
               what="the gateway running the device")
    checked = 0
    for path, item in SPEC["paths"].items():
        if "get" not in item or path.endswith("/ws") or path.endswith("openapi.json"):
            continue
        schema = schema_for(item["get"])
        if not schema:
            continue
        url = path.replace("{id}", "press").replace("{device_id}", "press").replace("{tag}", "force").replace("{tag_id}", "force")
        assert "{" not in url, f"unknown parameter in {path}"
        query = {"tags": "press/force", "from": "2020-01-01T00:00:00Z"} if url.endswith("history:query") else {}
        reply = live.api.request("GET", url, (200, 409, 503), params=query)
        if reply.headers["Content-Type"].startswith("application/problem+json"):
            schema = {"$ref": "#/components/schemas/Problem"}
        body = reply.json()
        text = yaml.safe_dump(schema).replace("#/components/schemas/", "#/$defs/")
        full = yaml.safe_load(text)
        defs = yaml.safe_load(yaml.safe_dump(root).replace("#/components/schemas/", "#/$defs/"))
        jsonschema.Draft202012Validator({**full, **defs}).validate(body)
        checked += 1
    assert checked >= 10


def test_every_route_asks_who_is_there(live):
    open_paths = {(m.upper(), p) for p, item in SPEC["paths"].items() for m, op in item.items()
                  if isinstance(op, dict) and op.get("security") == []}
    for method, path in sorted(described() - open_paths):
        if path.endswith("/ws"):
            continue
        url = live.api.base + path.replace("{", "").replace("}", "")
        reply = requests.request(method, url, json={} if method != "GET" else None, timeout=10)
        assert reply.status_code == 401, f"{method} {path} without a login: {reply.status_code}"
        assert reply.headers["Content-Type"].startswith("application/problem+json")


def test_lost_updates_are_refused(live):
    device = live.api.request("GET", "/api/v1/devices/press", 200)
    patch = {"json": {"description": "by one"}, "headers": {"Content-Type": "application/merge-patch+json"}}
    live.api.request("PATCH", "/api/v1/devices/press", 428, **patch)
    patch["headers"]["If-Match"] = device.headers["ETag"]
    live.api.request("PATCH", "/api/v1/devices/press", 200, **patch)
    live.api.request("PATCH", "/api/v1/devices/press", 412, **patch)


def test_passwords_are_guessed_slowly(live):
    anonymous = Api(live.api.base)
    answers = [anonymous.request("POST", "/api/v1/auth/login", json={"username": "admin", "password": f"guess {i}"})
               for i in range(7)]
    assert {a.status_code for a in answers[:4]} == {401}
    assert answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) >= 1
