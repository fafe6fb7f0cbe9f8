"""The API keeps what its description promises, whatever it is sent: schemathesis against a real server, bounded."""

import json
import re

import httpx
import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.cli.conftest import PAYG, Running

from mintage.client import AdminClient
from mintage.server.admin.api import MODULES

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
]
#: An answer without an end, and what takes a child process of its own for each call: they have tests of their own.
LEFT_OUT = r"/requests/live|/jobs/[^/]+/follow|/models/pull|/books/(verify|export)|/secrets/rotate"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("schema") / "home"
    with Running(home) as running, AdminClient.of_home(home) as mint:
        running.token = mint._http.headers["authorization"]
        mint.call("POST", "/plans", content=PAYG, headers={"content-type": "application/toml"})
        mint.call("POST", "/customers", json={"name": "Acme", "handle": "acme"})
        mint.call("PUT", "/customers/acme/plan", json={"plan": "payg"})
        yield running


@pytest.fixture(scope="module")
def described(server):
    return schemathesis.openapi.from_url(f"{server.url}/admin/v1/openapi.json").exclude(path_regex=LEFT_OUT)


def test_answers_are_as_described(described, server):
    wrong = []
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        @given(operation.as_strategy())
        def conforms(case):
            case.call_and_validate(checks=CHECKS, headers={"authorization": server.token}, timeout=30)

        try:
            conforms()
        except FailureGroup as error:
            wrong.append(f"{operation.method.upper()} {operation.path}: {error}")
    assert not wrong, "\n\n".join(wrong)


def test_every_body_has_an_example_that_is_one():
    handlers = [handler for module in MODULES for handler in module.HANDLERS]
    without = [handler.fn.__name__ for handler in handlers if "takes" in handler.opt and "example" not in handler.opt]
    assert without == []
    for handler in handlers:
        if (type_ := handler.opt.get("takes")) is not None:
            assert msgspec.json.decode(msgspec.json.encode(handler.opt["example"]), type=type_)


def test_answers_in_the_description_are_real_ones(server):
    """Recorded from a server: they fit their schemas, most calls have one, and nothing in them opens a door."""
    document = httpx.get(f"{server.url}/admin/v1/openapi.json", headers={"authorization": server.token}).json()
    shown = silent = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json", {})
                if status == "default" or not content.get("schema"):
                    continue
                if "examples" not in content:
                    silent += 1
                    continue
                shown += 1
                value = content["examples"]["recorded"]["value"]
                schema = {**content["schema"], "components": document["components"]}
                wrong = [str(error) for error in jsonschema_rs.validator_for(schema).iter_errors(value)]
                assert wrong == [], f"{method} {path}"
                assert not re.search(r"(mk|whsec)[-_][A-Za-z0-9]{6}", json.dumps(value)), f"{method} {path}"
    assert shown > 2 * silent
