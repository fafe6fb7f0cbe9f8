import pytest

from mintage.base import MintageError
from mintage.base.addresses import is_public_address
from mintage.registry import check_url, resolve_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::a00:1", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe", "fec0::1", "240.0.0.1", "ff02::1", "not an address", "",
    ],
)  # fmt: skip
def test_private_addresses_in_every_disguise(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public_address(address)


def test_a_good_url_loses_only_its_last_slash() -> None:
    assert check_url("https://api.example.com/v1/") == "https://api.example.com/v1"
    assert check_url("http://127.0.0.1:9000/v1", allow_private=True) == "http://127.0.0.1:9000/v1"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1", "ftp://x/y", "https://", "https:///v1", "https://user:pw@example.com/v1",
        "https://example.com/v1?x=1", "https://example.com/#a", "https://example.com:99999/", "https://example.com:0/",
        "https://exämple.com/", "https://example.com/a b", "https://example.com/\r\nX: y", "https://[::1", "v1",
    ],
)  # fmt: skip
def test_urls_that_cannot_be_meant(url: str) -> None:
    with pytest.raises(MintageError) as caught:
        check_url(url)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize("url", ["https://127.0.0.1/v1", "https://[::1]/v1", "https://169.254.169.254/latest"])
def test_private_literals_need_permission(url: str) -> None:
    with pytest.raises(MintageError) as caught:
        check_url(url)
    assert caught.value.code == "permission_denied"
    assert check_url(url, allow_private=True) == url


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433"])
def test_names_and_spellings_of_loopback_are_caught_when_resolved(host: str) -> None:
    with pytest.raises(MintageError) as caught:
        resolve_public(host, 443)
    assert caught.value.code == "permission_denied"
    assert resolve_public(host, 443, allow_private=True)


def test_an_unknown_host_says_so() -> None:
    with pytest.raises(MintageError) as caught:
        resolve_public("no-such-host.invalid", 443)
    assert caught.value.code == "upstream_failed"
