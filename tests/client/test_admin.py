"""The Python client against a real server: pages, tags, retries that do nothing twice, errors as the API told them."""

import httpx
import pytest
from tests.cli.conftest import Running

from mintage.base import MintageError
from mintage.client import AdminClient, segment


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("client") / "home"


@pytest.fixture(scope="module")
def server(home):
    with Running(home) as running:
        yield running


@pytest.fixture
def mint(server, home):
    with AdminClient.of_home(home) as client:
        yield client


def test_a_customer_with_keys_page_by_page(mint):
    acme = mint.call("POST", "/customers", json={"name": "Acme Labs"})
    made = {mint.call("POST", "/customers/acme-labs/keys", json={"name": f"k{n}"})["key"]["id"] for n in range(5)}
    assert {key["id"] for key in mint.pages(f"/customers/{acme['id']}/keys", limit=2)} == made
    assert mint.get("/customers", search="acme", status=None)["items"] == [acme]


def test_the_second_of_two_changes_is_refused(mint):
    mint.call("POST", "/customers", json={"name": "Twice", "handle": "twice"})
    read = mint.read("/customers/twice")
    assert read.thing["handle"] == "twice"
    assert mint.change("/customers/twice", read, country="DE")["country"] == "DE"
    with pytest.raises(MintageError) as refused:
        mint.change("/customers/twice", read, country="FR")
    assert (refused.value.code, refused.value.status) == ("precondition_failed", 412)
    assert mint.change("/customers/twice", country="FR")["country"] == "FR"


class Breaks(httpx.HTTPTransport):
    """Passes each call on, and loses the first answers."""

    def __init__(self, losses):
        super().__init__()
        self.losses, self.calls = losses, 0

    def handle_request(self, request):
        answer = super().handle_request(request)
        self.calls += 1
        if self.calls <= self.losses:
            answer.read()
            raise httpx.ReadError("the line broke")
        return answer


def test_a_lost_answer_is_asked_for_again_and_nothing_happens_twice(server, home):
    lossy = Breaks(2)
    with AdminClient.of_home(home, transport=lossy) as mint:
        key = mint.call("POST", "/customers", json={"name": "Once", "handle": "once"})
        assert lossy.calls == 3
        assert mint.get("/customers", search="once")["items"] == [key]


def test_it_gives_up_with_a_code_and_a_hint(server, home):
    with AdminClient.of_home(home, transport=Breaks(9)) as mint, pytest.raises(MintageError) as refused:
        mint.get("/customers")
    assert refused.value.code == "unavailable"
    with AdminClient("http://127.0.0.1:1", "x", retries=0) as nobody, pytest.raises(MintageError) as refused:
        nobody.get("/customers")
    assert refused.value.hint


def test_errors_are_the_apis_own(mint, server):
    with pytest.raises(MintageError) as refused:
        mint.get("/customers/nobody")
    assert (refused.value.code, refused.value.status) == ("not_found", 404)
    with pytest.raises(MintageError) as refused:
        mint.call("POST", "/customers", json={"name": 5})
    assert (refused.value.code, refused.value.param) == ("invalid_request", "name")
    with AdminClient(server.url, "wrong") as stranger, pytest.raises(MintageError) as refused:
        stranger.get("/customers")
    assert refused.value.code == "unauthenticated"


def test_without_a_server_it_says_so(tmp_path):
    with pytest.raises(MintageError) as refused:
        AdminClient.of_home(tmp_path)
    assert "mintage serve" in refused.value.hint


@pytest.mark.parametrize("name", ["..", ".", "../staff", "acme/keys", "a?b=c", "a#b", "é", "%2e%2e"])
def test_a_name_stays_one_part_of_a_path(mint, name):
    with pytest.raises(MintageError) as refused:
        mint.get(f"/customers/{segment(name)}/projects")
    assert refused.value.code == "not_found"
