"""A recipe: one TOML file that says everything about a run, so that the file is the run.

Sections belong to the stages; each stage's own options are checked by its own type, so that a wrong name is refused
before anything starts. `mintage factory run RECIPE --dry-run` shows what a recipe would do, take and cost.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from mintage.base import MintageError

RECIPE_MAX_BYTES: Final = 1024 * 1024
SOURCES_MAX: Final = 1_000
GGUF_ENGINES: Final = ("llamacpp", "openvino")  # engines that read a GGUF
T = TypeVar("T")
Amount = Annotated[str, Meta(pattern=r"^\d{1,12}(\.\d{1,12})?$")]


class RunPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name: of the run, and of the model unless [serve] names it. seed: of everything random. threads: 0 for all."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    seed: int = 0
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    description: str = ""


class DevicePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it is planned for and trained on. kind: a name that the estimate knows. count: processes that share each
    batch, one a GPU; of `cpu`, on this machine's cores. strategy: each with the whole model, or with a shard of it.
    """

    kind: str = "cpu"
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"


class CorpusPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """sources and clean: options of the corpus. held_out: the share of documents kept for evaluation."""

    sources: Annotated[tuple[dict[str, Any], ...], Meta(min_length=1, max_length=SOURCES_MAX)]
    clean: dict[str, Any] = {}
    held_out: Annotated[float, Meta(ge=0, le=0.5)] = 0.02


class ChatPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """data: a JSONL file of {"messages": [...]}, or package:NAME for what comes with Mintage. options: of training.

    method: all weights, or LoRA: a pair of thin matrices of `rank` beside each linear layer (Hu et al. 2021), kept in
    model-adapter/ and merged into the model. alpha / rank is how strongly they count; alpha 0: twice the rank.
    """

    data: str
    options: dict[str, Any] = {}
    method: Literal["full", "lora"] = "full"
    rank: Annotated[int, Meta(ge=1, le=1024)] = 8
    alpha: Annotated[int, Meta(ge=0, le=8192)] = 0


class EvaluatePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ask: prompts whose answers are kept in the report. bits_per_byte_max: the run fails above it."""

    ask: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    bits_per_byte_max: float | None = None
    answer_tokens: Annotated[int, Meta(ge=1, le=2048)] = 48


class ServePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name: of the model for customers. plan: the plan that sells it; made, or given its price, if it lacks one.

    Prices are currency units per million tokens. quantise: how the weights of a decoder are kept. engine: auto takes
    llamacpp for a decoder and transformers for the others. lifetime_tokens: over how many served tokens the cost of
    making the model is spread. ask: prompts that a first customer pays for.
    """

    name: str = ""
    plan: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = "factory"
    input_per_million: Amount = "0.50"
    output_per_million: Amount = "2.00"
    quantise: Literal["f32", "f16", "bf16", "q8_0"] = "f16"
    engine: Literal["auto", "llamacpp", "openvino", "transformers"] = "auto"
    lifetime_tokens: Annotated[int, Meta(ge=1, le=10**15)] = 10_000_000
    ask: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    answer_tokens: Annotated[int, Meta(ge=1, le=2048)] = 32


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """tokenizer, model, pretrain: options of the stage of that name, checked by the stage's own type."""

    run: RunPart
    corpus: CorpusPart
    tokenizer: dict[str, Any] = {}
    model: dict[str, Any] = {}
    pretrain: dict[str, Any] = {}
    finetune: ChatPart | None = None
    evaluate: EvaluatePart = EvaluatePart()
    serve: ServePart | None = None
    device: DevicePart = DevicePart()

    @property
    def model_name(self) -> str:
        return (self.serve.name if self.serve else "") or self.run.name


class Loaded(msgspec.Struct, frozen=True):
    """folder: what the paths of the recipe start from."""

    recipe: Recipe
    text: str
    folder: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_recipe(path: Path) -> Loaded:
    """Read and check a recipe. Raises MintageError not_found or invalid_request, naming the field at fault."""
    try:
        if path.stat().st_size > RECIPE_MAX_BYTES:
            raise _refuse(path, "it is longer than a mebibyte", "")
        text = path.read_text("utf-8")
    except OSError as error:
        raise MintageError(
            "not_found", f"The recipe {path} cannot be read: {error.strerror}.", "recipes/ has some to begin with."
        ) from error
    except UnicodeDecodeError as error:
        raise _refuse(path, "it is not UTF-8", "") from error
    return Loaded(parse_recipe(text, str(path)), text, path.resolve().parent)


def parse_recipe(text: str, name: str = "recipe") -> Recipe:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refuse(name, str(error), "It is written in TOML: https://toml.io.") from error
    return section(raw, Recipe, "")


def section(raw: Any, kind: type[T], where: str) -> T:
    """A part of a recipe as its type. An unknown or wrong field raises invalid_request with the nearest known name."""
    try:
        if isinstance(raw, dict) and (unknown := set(raw) - set(getattr(kind, "__struct_fields__", raw))):
            raise msgspec.ValidationError(f"Object contains unknown field `{min(unknown)}`")
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        raise _refuse(where or "The recipe", message, _nearest(message, kind)) from error


def _nearest(message: str, kind: type) -> str:
    match = re.search(r"unknown field `([^`]*)`", message)
    if match is None:
        return "docs/tutorial/make-your-own-model.md explains every section."
    known = sorted(set(_fields(kind)))
    near = difflib.get_close_matches(match[1], known, 1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}."


def _fields(kind: Any, depth: int = 0) -> Iterator[str]:
    """Names of a struct's fields and of the structs within it."""
    yield from getattr(kind, "__struct_fields__", ())
    if depth < 3 and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for info in msgspec.structs.fields(kind):
            for inner in (info.type, *getattr(info.type, "__args__", ())):
                yield from _fields(inner, depth + 1)


def _refuse(where: object, problem: str, hint: str) -> MintageError:
    return MintageError("invalid_request", f"{where}: {problem}.", hint or "Mend the recipe.", param="recipe")
