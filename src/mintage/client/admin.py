"""One client class: calls, pages, entity tags, retries that cannot do anything twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import quote

import msgspec

from mintage.base import MintageError

if TYPE_CHECKING:  # 40 ms that a program which only names the class need not pay
    import httpx

PREFIX: Final = "/admin/v1"
TIMEOUT_S: Final = 60.0
CONNECT_S: Final = 5.0
RETRIES: Final = 2
_WAIT_MAX_S: Final = 5.0
_SERVER_FILE: Final = "server.json"


class Tagged(NamedTuple):
    """A thing as it was read, with the tag that an update sends back."""

    thing: Any
    etag: str


class _Address(msgspec.Struct):
    url: str
    admin_token: str


class AdminClient:
    """The admin API of one Mintage.

    >>> with AdminClient("http://127.0.0.1:8642", token) as mint:
    ...     acme = mint.call("POST", "/customers", json={"name": "Acme Labs"})
    ...     for key in mint.pages(f"/customers/{acme['handle']}/keys"):
    ...         print(key["prefix"], key["name"])

    Paths are those of GET /admin/v1/openapi.json without the prefix. Every method raises MintageError as the API told
    it: its code says what is wrong, its hint what to do. Not for two threads at once.

    retries: how often a call is sent again when the connection breaks or the server says that it is busy. A changing
    call then carries an Idempotency-Key, so that it happens once however often it is sent. timeout_s: for one answer.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
        unreachable: MintageError | None = None,
    ) -> None:
        import httpx

        self._retries = retries
        self._unreachable = unreachable or MintageError(
            "unavailable", f"Nothing answers at {url}.", "Is Mintage running there?"
        )
        self._http = httpx.Client(
            base_url=url.rstrip("/") + PREFIX,
            headers={"authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
            transport=transport,
            trust_env=False,  # the token must not travel through a proxy that the environment happens to name
        )

    @classmethod
    def of_home(cls, home: str | Path = "~/.mintage", **options: Any) -> Self:
        """The server that runs on this home, found and trusted by the file it leaves there. Raises unavailable."""
        file = Path(home).expanduser() / _SERVER_FILE
        try:
            address = msgspec.json.decode(file.read_bytes(), type=_Address)
        except (OSError, msgspec.DecodeError) as error:
            raise MintageError(
                "unavailable", f"No server runs on {file.parent}.", "Start one with `mintage serve`."
            ) from error
        return cls(address.url, address.admin_token, **options)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET. A query of None is left out."""
        return self.call("GET", path, params=_query(query))

    def read(self, path: str) -> Tagged:
        """A thing with its tag: hand it to change() to overwrite nobody else's change."""
        answer = self._send("GET", path, {})
        return Tagged(msgspec.json.decode(answer.content), answer.headers.get("etag", ""))

    def pages(self, path: str, *, limit: int = 100, **query: Any) -> Iterator[Any]:
        """Every item of a list, page after page, as far as they are taken."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=limit, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    # Changing

    def call(self, method: str, path: str, *, match: str | None = None, **options: Any) -> Any:
        """The JSON of any call. options: json, content, params, headers, as httpx takes them. match: an etag that the
        thing must still have; else the API answers precondition_failed."""
        return msgspec.json.decode(self.raw(method, path, match=match, **options))

    def change(self, path: str, read: Tagged | None = None, /, **fields: Any) -> Any:
        """PATCH fields of the thing at path; with `read`, only if nobody has changed it since."""
        return self.call("PATCH", path, match=read.etag if read else None, json=fields)

    def raw(self, method: str, path: str, *, match: str | None = None, **options: Any) -> bytes:
        """The answer's bytes, for what is not JSON."""
        if match is not None:
            options["headers"] = {**options.get("headers", {}), "if-match": match}
        return self._send(method, path, options).content

    def lines(self, method: str, path: str, body: object = None) -> Iterator[Any]:
        """Each line of an answer in JSON lines, as it comes. Never sent again: a stream is not repeated."""
        import httpx

        try:
            with self._http.stream(method, path, json=body) as answer:
                if answer.status_code >= 400:
                    raise error_of(answer.status_code, answer.read())
                for line in answer.iter_lines():
                    yield msgspec.json.decode(line)
        except httpx.TransportError as error:
            raise self._unreachable from error

    def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        import httpx

        if self._retries and method not in ("GET", "HEAD"):
            headers = {"idempotency-key": str(uuid.uuid4()), **options.get("headers", {})}
            options = {**options, "headers": headers}
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable from error
                wait_s = 0.2 * 2**attempt
            else:
                if answer.status_code < 400:
                    return answer
                if last or answer.status_code not in (429, 503):
                    raise error_of(answer.status_code, answer.content)
                wait_s = _seconds(answer.headers.get("retry-after"))
                if wait_s > _WAIT_MAX_S:
                    raise error_of(answer.status_code, answer.content)
            time.sleep(wait_s)
        raise self._unreachable


def segment(name: str) -> str:
    """A name as one part of a path: `acme/../x` cannot climb out of it."""
    return quote(name, safe="@") if name not in (".", "..") else name.replace(".", "%2E")


def error_of(status: int, raw: bytes) -> MintageError:
    """The problem that the API told, as the error that it was made from."""
    try:
        problem = msgspec.json.decode(raw, type=dict[str, Any])
        return MintageError(
            str(problem["code"]),
            str(problem["detail"]),
            str(problem.get("hint", "")),
            status=status,
            param=problem.get("param"),
            details=problem.get("details"),
        )
    except (msgspec.DecodeError, KeyError):
        return MintageError(
            "internal", f"The server answered {status} in a shape of its own.", "Is it Mintage, of this version?"
        )


def _query(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isascii() and text.isdigit() else 0.5
