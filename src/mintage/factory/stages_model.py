"""The steps that make weights: pretraining by the architecture's objective, then finetuning on conversations."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from mintage.base import MintageError
from mintage.factory.models import ModelConfig, Shape, load_model
from mintage.factory.recipe import Recipe, section
from mintage.factory.stages import packaged, set_threads, stamp
from mintage.factory.step import StepContext
from mintage.factory.tokenizer import SPECIAL, add_marks, load_tokenizer, special_id
from mintage.factory.training import (
    Ids,
    PretrainJob,
    TrainingOptions,
    finetune_chat,
    marks_of,
    open_codes,
    run_pretraining,
    save_model,
)
from mintage.factory.training.chat import Chat, read_chat_file
from mintage.factory.training.lora import adapt, merge, trainable

#: Architectures that write on, and can therefore learn to answer.
CHATS = ("decoder", "gpt")


class PretrainStep:
    """base: the pretrained model with its tokenizer, to which the objective's marks were added."""

    name, inputs, outputs = "pretrain", ("tokenizer", "store"), ("base",)

    def recipe_part(self, recipe: Recipe) -> Any:
        config = section(recipe.model, ModelConfig, "[model]")
        options = section(recipe.pretrain, TrainingOptions, "[pretrain]")
        if options.block > config.context:
            raise MintageError(
                "invalid_request",
                f"[pretrain] block is {options.block}, more than the model's context of {config.context}.",
                "Make the context longer or the block shorter.",
            )
        return config, options, recipe.run.seed, recipe.device.count

    def run(self, context: StepContext) -> dict[str, Any]:
        import torch

        recipe = context.recipe
        config, options, seed, _ = self.recipe_part(recipe)
        set_threads(recipe)
        marked = context.folder / "marked"
        shape, ids = _marked(config, context.output("tokenizer"), context.output("store"), marked)
        gpu = torch.cuda.is_available() and recipe.device.kind != "cpu"
        if gpu:
            context.meter.gpus(recipe.device.count)
        names = {
            "bos": SPECIAL[0],
            "eos": SPECIAL[3] if config.architecture in CHATS else SPECIAL[0],
            "pad": SPECIAL[1],
        }
        tokenizer = load_tokenizer(marked)
        job = PretrainJob(
            shape=shape, special={name: special_id(tokenizer, text) for name, text in names.items()}, ids=ids,
            store=str(context.output("store")), tokenizer=str(marked),
            checkpoints=str(context.folder / "checkpoints/pretrain"), out=str(context.folder / "base"),
            options=options, seed=seed, device=recipe.device.kind if gpu else "cpu",
            devices=recipe.device.count if gpu or recipe.device.kind == "cpu" else 1,
            strategy=recipe.device.strategy, threads=recipe.run.threads,
        )  # fmt: skip
        result = run_pretraining(job, progress=context.progress, cancelled=context.cancelled)
        context.meter.tokens(result.report.tokens)
        shutil.rmtree(marked)
        held_out = {} if result.held_out is None else {"held_out": msgspec.to_builtins(result.held_out)}
        return {"parameters": result.parameters, **msgspec.to_builtins(result.report), **held_out}


def _marked(config: ModelConfig, tokenizer: Path, store: Path, out: Path) -> tuple[Shape, Ids]:
    """The tokenizer with the objective's marks, in `out`, and the shape of a model that knows them."""
    codes = open_codes(store / "train").names if config.architecture == "ctrl" else ()
    base = load_tokenizer(tokenizer).get_vocab_size()
    marks = add_marks(tokenizer, marks_of(config.architecture, codes), out)
    loaded = load_tokenizer(out)
    ids = Ids(base=base, end=special_id(loaded, SPECIAL[0]), pad=special_id(loaded, SPECIAL[1]), marks=marks)
    return config.shape(loaded.get_vocab_size()), ids


class FinetuneStep:
    """Without [finetune] the base model is the model."""

    name, inputs, outputs = "finetune", ("pretrain",), ("model",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recipe_part(self, recipe: Recipe) -> Any:
        if recipe.finetune is None:
            return None
        architecture = section(recipe.model, ModelConfig, "[model]").architecture
        if architecture not in CHATS:
            raise MintageError(
                "invalid_request",
                f"A {architecture} model does not learn conversations.",
                f"Leave [finetune] out, or choose an architecture that chats: {', '.join(CHATS)}.",
                param="recipe",
            )
        options = section(recipe.finetune.options, TrainingOptions, "[finetune.options]")
        return recipe.finetune, options, stamp(self._path(recipe.finetune.data)), recipe.run.seed

    def _path(self, data: str) -> Path:
        return packaged(data.removeprefix("package:")) if data.startswith("package:") else self._folder / data

    def run(self, context: StepContext) -> dict[str, Any]:
        from mintage.factory.export import check_safe

        recipe, base = context.recipe, context.output("base")
        check_safe(base)
        if recipe.finetune is None:
            shutil.rmtree(context.folder / "model", ignore_errors=True)
            shutil.copytree(base, context.folder / "model")
            return {}
        set_threads(recipe)
        wanted, adapted = recipe.finetune, recipe.finetune.method == "lora"
        whole = load_model(base)
        model = adapt(whole, wanted.rank, wanted.alpha, recipe.run.seed) if adapted else whole
        chats: list[Chat] = read_chat_file(self._path(wanted.data))
        report = finetune_chat(
            model, load_tokenizer(base), chats, self.recipe_part(recipe)[1],
            context.folder / "checkpoints/finetune",
            seed=recipe.run.seed, progress=context.progress, cancelled=context.cancelled,
        )  # fmt: skip
        context.meter.tokens(report.tokens)
        trained = trainable(model)
        if adapted:
            model = merge(model, context.folder / "model-adapter")
        save_model(model, base, context.folder / "model")
        return {"chats": len(chats), "method": wanted.method, "trained": trained, **msgspec.to_builtins(report)}
