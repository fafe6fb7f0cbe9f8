"""Weights from a model hub that speaks Hugging Face's HTTP API: resumed where a pull stopped, checked against its hash.

API: https://huggingface.co/docs/hub/api, GET /api/models/ORG/REPO?blobs=true and GET /ORG/REPO/resolve/REVISION/FILE.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import getproxies

import msgspec

from mintage.base import MintageError
from mintage.base.addresses import is_public_address
from mintage.registry.addresses import check_url, refuse_private, resolve_public
from mintage.registry.source import HubSource
from mintage.registry.transfer import Meter, ProgressCallback, check_room, too_large

if TYPE_CHECKING:
    import httpx

_REDIRECTS_MAX: Final = 5
_ATTEMPTS: Final = 5  # each continues where the one before it stopped
_INDEX_MAX_BYTES: Final = 8 * 1024 * 1024
_STATE_NAME: Final = "download.json"
_PART_NAME: Final = "download.part"


class _Lfs(msgspec.Struct):
    sha256: str
    size: int


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None


class _Card(msgspec.Struct):
    license: str | list[str] | None = None
    language: str | list[str] | None = None


class _Repository(msgspec.Struct, rename={"card": "cardData"}):
    sha: str
    siblings: list[_Sibling]
    card: _Card | None = None


class HubFile(msgspec.Struct, frozen=True, kw_only=True):
    """One exact file of one exact revision. sha256 None: the hub does not say (a small file outside LFS)."""

    repository: str
    revision: str
    file: str
    size_bytes: int | None
    sha256: str | None
    licence: str
    languages: tuple[str, ...]


class _State(msgspec.Struct):
    """Beside a partial file: what it is a part of. validator: the server's strong ETag, for If-Range."""

    file: HubFile
    validator: str


class Hub:
    """One hub. token: the user's own, for gated models; sent to the hub's host alone, never to where it redirects."""

    def __init__(self, endpoint: str, *, token: str = "", allow_private: bool = False) -> None:
        self._endpoint = check_url(endpoint, allow_private=allow_private, param="hub endpoint")
        self._token = token
        self._allow_private = allow_private

    def find(self, source: HubSource) -> HubFile:
        """Ask the hub which file the source means. Raises not_found if it holds none, or several."""
        import httpx

        path = f"/api/models/{source.repository}?blobs=true"
        try:
            with self._client() as client, self._get(client, path) as response:
                if response.status_code in (401, 403, 404):
                    raise _missing(source, "or it is gated: then set HF_TOKEN")
                _check_status(response, 200)
                body = _read_limited(response)
        except httpx.HTTPError as error:
            raise MintageError(
                "upstream_failed", f"The hub cannot be reached: {type(error).__name__}.", "Check the network."
            ) from error
        try:
            repository = msgspec.json.decode(body, type=_Repository)
        except msgspec.DecodeError as error:
            raise MintageError("upstream_failed", "The hub's answer cannot be read.", "Try again later.") from error
        return _choose(source, repository)

    def download(self, file: HubFile, folder: Path, *, limit_bytes: int, progress: ProgressCallback | None) -> Path:
        """Bring the file into folder, continuing a part that an earlier pull left there. Returns its path."""
        import httpx

        if file.size_bytes is not None:
            if file.size_bytes > limit_bytes:
                raise too_large(limit_bytes)
            check_room(folder, file.size_bytes)
        part = folder / _PART_NAME
        _resume_from(folder, file)
        start = part.stat().st_size if part.exists() else 0
        meter = Meter("download", file.size_bytes, progress, start_bytes=start, limit_bytes=limit_bytes)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._client() as client:
                    self._continue(client, file, folder, meter)
                break
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS:
                    raise MintageError(
                        "upstream_failed",
                        f"The download stopped after {meter.done / 1e6:.0f} MB: {type(error).__name__}.",
                        "Pull again: it continues from there.",
                    ) from error
        if file.size_bytes is not None and part.stat().st_size != file.size_bytes:
            part.unlink()
            raise MintageError("upstream_failed", "The hub sent a file of the wrong length.", "Pull it again.")
        meter.finish()
        return part

    def _continue(self, client: httpx.Client, file: HubFile, folder: Path, meter: Meter) -> None:
        part = folder / _PART_NAME
        validator = _resume_from(folder, file)
        have = part.stat().st_size if part.exists() else 0
        if file.size_bytes is not None and have >= file.size_bytes:
            return
        headers = {"Accept-Encoding": "identity"}
        if have and validator and file.size_bytes is not None:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        path = f"/{file.repository}/resolve/{quote(file.revision)}/{quote(file.file)}"
        with self._get(client, path, headers) as response:
            resumed = response.status_code == 206 and _starts_at(response, have)
            if not resumed:
                _check_status(response, 200)
            etag = response.headers.get("etag", "")
            _write_state(folder, _State(file, "" if etag.startswith("W/") else etag))
            with part.open("ab" if resumed else "wb") as out:
                meter.move_to(have if resumed else 0)
                for chunk in response.iter_raw():
                    meter.add(len(chunk))
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())

    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(timeout=httpx.Timeout(60, connect=20), follow_redirects=False)

    def _get(self, client: httpx.Client, path: str, headers: dict[str, str] | None = None) -> _Redirected:
        return _Redirected(self, client, self._endpoint + path, headers or {})

    def open(self, client: httpx.Client, url: str, headers: dict[str, str]) -> httpx.Response:
        """Send one GET; the caller closes the response. The address is checked before and after connecting."""
        parts = urlsplit(url)
        check_url(parts._replace(query="").geturl(), allow_private=self._allow_private, param="redirect of the hub")
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        proxied = parts.scheme in getproxies()
        if not proxied:
            resolve_public(host, port, allow_private=self._allow_private)
        if self._token and parts.netloc == urlsplit(self._endpoint).netloc:
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        response = client.send(client.build_request("GET", url, headers=headers), stream=True)
        if not proxied and not self._allow_private:
            peer = response.extensions["network_stream"].get_extra_info("server_addr")
            if not peer or not is_public_address(str(peer[0])):
                response.close()
                raise refuse_private(host)
        return response


class _Redirected:
    """A response after at most five redirects, each to an address that is checked like the first."""

    def __init__(self, hub: Hub, client: httpx.Client, url: str, headers: dict[str, str]) -> None:
        self._hub, self._client, self._url, self._headers = hub, client, url, headers

    def __enter__(self) -> httpx.Response:
        url = self._url
        for _ in range(_REDIRECTS_MAX + 1):
            self._response = response = self._hub.open(self._client, url, self._headers)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            url = urljoin(url, response.headers.get("location", ""))
        raise MintageError("upstream_failed", "The hub redirects in circles.", "Check its address.")

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _read_limited(response: httpx.Response) -> bytes:
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _INDEX_MAX_BYTES:
            raise MintageError("upstream_failed", "The hub's answer is too long.", "Name a smaller repository.")
    return body


def _check_status(response: httpx.Response, wanted: int) -> None:
    if response.status_code != wanted:
        code = "not_found" if response.status_code == 404 else "upstream_failed"
        raise MintageError(code, f"The hub answered {response.status_code}.", "Check the source, or try again later.")


def _starts_at(response: httpx.Response, have: int) -> bool:
    return bool(response.headers.get("content-range", "").startswith(f"bytes {have}-"))


def _missing(source: HubSource, more: str = "") -> MintageError:
    hint = f"Check its spelling{', ' + more if more else ''}."
    return MintageError("not_found", f"The hub has no model {source}.", hint, param="source")


def _choose(source: HubSource, repository: _Repository) -> HubFile:
    weights = [s for s in repository.siblings if s.rfilename.lower().endswith(".gguf")]
    if source.file is not None:
        weights = [s for s in repository.siblings if s.rfilename == source.file]
    if not weights:
        raise _missing(source, "and that it holds a GGUF file")
    if len(weights) > 1:
        names = ", ".join(s.rfilename for s in weights[:12])
        raise MintageError(
            "not_found", f"{source} holds several GGUF files: {names}.", "Name one: hf:ORG/REPO:FILE.", param="source"
        )
    chosen, card = weights[0], repository.card or _Card()
    return HubFile(
        repository=source.repository,
        revision=repository.sha,
        file=chosen.rfilename,
        size_bytes=chosen.lfs.size if chosen.lfs else chosen.size,
        sha256=chosen.lfs.sha256 if chosen.lfs else None,
        licence=_first(card.license),
        languages=tuple(card.language if isinstance(card.language, list) else filter(None, [card.language])),
    )


def _first(value: str | list[str] | None) -> str:
    return value if isinstance(value, str) else next(iter(value or []), "")


def _resume_from(folder: Path, file: HubFile) -> str:
    """The validator of the part in folder; a part of anything else is removed."""
    try:
        state = msgspec.json.decode((folder / _STATE_NAME).read_bytes(), type=_State)
    except (OSError, msgspec.DecodeError):
        state = None
    if state is not None and state.file == file:
        return state.validator
    (folder / _PART_NAME).unlink(missing_ok=True)
    return ""


def _write_state(folder: Path, state: _State) -> None:
    path = folder / _STATE_NAME
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(path)
