"""The last steps before a model is sold: how good it is on text it has not seen, what it answers, and its weights as
the engines read them.
"""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.factory.export import export_gguf, export_safetensors
from mintage.factory.models import ModelConfig, architecture_of, load_model
from mintage.factory.predict import predict
from mintage.factory.recipe import GGUF_ENGINES, Recipe, ServePart, section
from mintage.factory.stages import read_documents, set_threads
from mintage.factory.stages_model import CHATS
from mintage.factory.step import StepContext

_JUDGED_MAX_BYTES: Final = 200_000


class EvaluateStep:
    """evaluation/report.json: the objective's loss on held-out text beside guessing by frequency, bits per byte by
    language where the model writes on, and what it makes of [evaluate] ask.
    """

    name, inputs, outputs = "evaluate", ("corpus", "finetune", "pretrain"), ("evaluation",)

    def recipe_part(self, recipe: Recipe) -> Any:
        return recipe.evaluate

    def run(self, context: StepContext) -> dict[str, Any]:
        wanted = context.recipe.evaluate
        set_threads(context.recipe)
        bits: dict[str, float] = {}
        if architecture_of(context.output("base")) in CHATS:
            base = load_model(context.output("base")).eval()
            held_out = _held_out(context.output("corpus") / "held_out.jsonl.gz")
            bits = {
                language: round(bits_per_byte(base, context.output("base"), texts, context), 4)
                for language, texts in sorted(held_out.items())
            }
        told = predict(
            context.output("model"), list(wanted.ask), wanted.answer_tokens, chat=bool(context.recipe.finetune)
        )
        answers = [{"ask": ask, "answer": answer} for ask, answer in zip(wanted.ask, told, strict=True)]
        out = context.folder / "evaluation"
        out.mkdir(exist_ok=True)
        result = {"bits_per_byte": bits, "answers": answers}
        (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2))
        _gate(bits, wanted.bits_per_byte_max)
        return result


class ExportStep:
    """export/model.gguf for the decoder, which every local engine reads; the others are served as they are."""

    name, inputs, outputs = "export", ("finetune",), ("export",)

    def recipe_part(self, recipe: Recipe) -> Any:
        serve = recipe.serve or ServePart()
        architecture = section(recipe.model, ModelConfig, "[model]").architecture
        if serve.engine in GGUF_ENGINES and architecture != "decoder" and recipe.serve is not None:
            raise MintageError(
                "invalid_request",
                f"{serve.engine} does not run a {architecture} model.",
                'Write engine = "transformers" under [serve].',
                param="recipe",
            )
        return serve.quantise, recipe.model_name, serve.engine

    def run(self, context: StepContext) -> dict[str, Any]:
        out = context.folder / "export"
        out.mkdir(exist_ok=True)
        quantise, name, _ = self.recipe_part(context.recipe)
        if architecture_of(context.output("model")) != "decoder":
            report = export_safetensors(context.output("model"), out)
            context.meter.wrote(report.size_bytes)
            return msgspec.to_builtins(msgspec.structs.replace(report, path="export"))  # type: ignore[no-any-return]
        languages = {str(source.get("language", "")) for source in context.recipe.corpus.sources} - {""}
        report = export_gguf(
            context.output("model"), out / "model.gguf", quantise=quantise, name=name,
            languages=tuple(sorted(languages)), progress=context.progress,
        )  # fmt: skip
        context.meter.wrote(report.size_bytes)
        return msgspec.to_builtins(msgspec.structs.replace(report, path="export/model.gguf"))  # type: ignore[no-any-return]


def bits_per_byte(model: Any, tokenizer_folder: Path, texts: list[str], context: StepContext) -> float:
    """Loss in bits over the bytes of the text: comparable between tokenizers. Texts are read in whole contexts."""
    import torch

    from mintage.factory.tokenizer import load_tokenizer, special_id

    tokenizer = load_tokenizer(tokenizer_folder)
    window, bits, size = int(model.config.max_position_embeddings), 0.0, 0
    start = special_id(tokenizer, "<|endoftext|>")
    with torch.no_grad():
        for number, text in enumerate(texts):
            context.progress(number, len(texts), "held-out text")
            ids = tokenizer.encode(text).ids
            size += len(text.encode())
            for at in range(0, len(ids), window - 1):
                part = torch.tensor([[start if at == 0 else ids[at - 1], *ids[at : at + window - 1]]])
                logits = model(input_ids=part).logits[0, :-1].float()
                bits += torch.nn.functional.cross_entropy(logits, part[0, 1:], reduction="sum").item() / math.log(2)
    return bits / max(size, 1)


def _held_out(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    size = 0
    for document in read_documents(path):
        size += len(document.text.encode())
        if size > _JUDGED_MAX_BYTES:
            break
        found.setdefault(document.language or "unknown", []).append(document.text)
    return found


def _gate(bits: dict[str, float], most: float | None) -> None:
    worst = max(bits.values(), default=0.0)
    if most is not None and worst > most:
        raise MintageError(
            "conflict",
            f"The model needs {worst:.3f} bits a byte; [evaluate] allows {most:.3f}.",
            "Train longer or deeper, or allow more.",
        )


def html_curve(points: list[list[float]], title: str) -> str:
    """A loss curve as inline SVG, readable without scripts."""
    if len(points) < 2:
        return ""
    steps, losses = [point[0] for point in points], [point[1] for point in points]
    low, high, last = min(losses), max(losses), max(steps[-1], 1)
    spread = (high - low) or 1.0
    line = " ".join(
        f"{40 + 540 * x / last:.1f},{20 + 180 * (high - y) / spread:.1f}" for x, y in zip(steps, losses, strict=True)
    )
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 600 230" role="img" '
        f'aria-label="{html.escape(title)}"><polyline fill="none" stroke="#2563eb" stroke-width="1.5" points="{line}"/>'
        f'<text x="2" y="26" font-size="11">{high:.2f}</text><text x="2" y="204" font-size="11">{low:.2f}</text>'
        f'<text x="540" y="222" font-size="11">step {last:,.0f}</text></svg></figure>'
    )
