"""TLS to an upstream: trust, names, and that a certificate for another name is refused."""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mintage.base import MintageError
from mintage.engines.http_client import HttpClient


def certificate(folder: Path, *names: x509.GeneralName) -> Path:
    """A self-signed certificate and its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextlib.asynccontextmanager
async def tls_server(pem: Path) -> AsyncIterator[tuple[int, list[str | None]]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, _context: names.append(name)  # type: ignore[assignment]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], names
    finally:
        server.close()


async def test_trusted_upstream_is_asked_by_name_over_one_connection(tmp_path: Path) -> None:
    pem = certificate(tmp_path, x509.DNSName("localhost"))
    async with tls_server(pem) as (port, names):
        client = HttpClient(
            f"https://localhost:{port}", allow_private=True, ssl_context=ssl.create_default_context(cafile=str(pem))
        )
        for _ in range(3):
            assert (await client.request("GET", "/")).body == b"ok"
        await client.close()
        assert names == ["localhost"]


@pytest.mark.parametrize("trusted", [True, False])
async def test_wrong_name_or_unknown_authority_is_refused(tmp_path: Path, trusted: bool) -> None:
    name = x509.DNSName("another.example") if trusted else x509.DNSName("localhost")
    pem = certificate(tmp_path, name, x509.IPAddress(ipaddress.ip_address("10.1.2.3")))
    context = ssl.create_default_context(cafile=str(pem)) if trusted else None
    async with tls_server(pem) as (port, _):
        client = HttpClient(f"https://localhost:{port}", name="acme", allow_private=True, ssl_context=context)
        with pytest.raises(MintageError) as caught:
            await client.request("GET", "/")
        assert caught.value.code == "upstream_failed"
        assert "certificate" in caught.value.message
        await client.close()


async def test_upstream_that_speaks_no_tls_is_an_upstream_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = HttpClient(f"https://localhost:{server.sockets[0].getsockname()[1]}", allow_private=True)
    with pytest.raises(MintageError) as caught:
        await client.request("GET", "/")
    assert caught.value.code == "upstream_failed"
    await client.close()
    server.close()
