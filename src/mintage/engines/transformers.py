"""Any checkpoint that Transformers loads: causal (GPT-2, DialoGPT, XLNet, CTRL), sequence to sequence (T5), masked
(BERT). A folder of config.json, tokenizer and safetensors; nothing in it is ever run.

A masked model fills the blanks of a completion's prompt; the others write on. One answer at a time, in a process of
its own (host.py).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Final, Literal

from mintage.base import ChoiceFinished, Event, MintageError, Operation, Request, TextDelta, Usage, UsageReported
from mintage.engines.blocking import BlockingEngine
from mintage.engines.host_frames import HostConfig
from mintage.engines.protocol import Capabilities

Kind = Literal["causal", "seq2seq", "masked"]
_CHOICES_MAX: Final = 16
_STREAM_WAIT_S: Final = 300.0


class TransformersEngine(BlockingEngine):
    """temperature, top_k, top_p and seed choose as in `generate(do_sample=True)`; temperature 0 is greedy. n is
    num_return_sequences. Every token is counted by the model's own tokenizer."""

    operations: frozenset[Operation] = frozenset(("chat", "completion"))

    def __init__(self, config: HostConfig) -> None:
        super().__init__(config.entry.name, config.queue_limit)
        self._config = config
        self._kind: Kind = "causal"
        self._model: Any = None
        self._tokenizer: Any = None
        self._context_tokens = config.context_tokens

    def capabilities(self, model: str) -> Capabilities:
        super().capabilities(model)
        return Capabilities(
            model=model,
            operations=frozenset(("completion",)) if self._kind == "masked" else self.operations,
            context_tokens=self._context_tokens,
            max_output_tokens=self._context_tokens - 1,
            exact_count=True,
            n_max=_CHOICES_MAX,
            languages=self._config.entry.languages,
        )

    def load(self) -> None:
        import torch
        import transformers

        if self._config.threads:
            torch.set_num_threads(self._config.threads)
        folder = Path(self._config.path)
        if folder.is_file():
            folder = folder.parent
        shared: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **shared)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **shared)
            self._kind = kind_of(config)
            loader = {
                "causal": transformers.AutoModelForCausalLM,
                "seq2seq": transformers.AutoModelForSeq2SeqLM,
                "masked": transformers.AutoModelForMaskedLM,
            }[self._kind]
            self._model = loader.from_pretrained(folder, use_safetensors=True, **shared).eval()
        except (OSError, ValueError, KeyError) as error:
            raise MintageError(
                "invalid_request", f"Transformers cannot load {folder.name}: {type(error).__name__}.",
                "The folder needs config.json, a tokenizer and model.safetensors.",
            ) from error  # fmt: skip
        trained = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        if isinstance(trained, int) and trained > 1:
            self._context_tokens = min(self._context_tokens, trained)

    def usage_of(self, request: Request) -> Usage:
        return Usage(input_tokens=sum(len(self._encode(text)) for text in self._prompts(request)))

    async def count_tokens(self, request: Request) -> int:
        return (await self.measure(request)).input_tokens

    def _prompts(self, request: Request) -> list[str]:
        if request.tools or request.output.kind != "text" or request.logprobs:
            raise MintageError("unsupported", "This model writes plain text.", "Leave tools and formats out.")
        if request.operation == "completion":
            return list(request.prompts)
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        if getattr(self._tokenizer, "chat_template", None):
            return [str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))]
        end = self._tokenizer.eos_token or "\n"  # DialoGPT: turns are separated by the end token
        return ["".join(message["content"] + end for message in messages)]

    def _encode(self, text: str) -> list[int]:
        tokens = self._tokenizer(text)["input_ids"]
        if not tokens or len(tokens) >= self._context_tokens:
            raise MintageError(
                "context_length_exceeded" if tokens else "invalid_request",
                f"The prompt has {len(tokens)} tokens; the model's window has {self._context_tokens}.",
                "Shorten it." if tokens else "Write something.",
                param="messages",
            )
        return list(tokens)

    def answer(self, request: Request) -> Iterator[Event]:
        read = written = 0
        for number, prompt in enumerate(self._prompts(request)):
            tokens = self._encode(prompt)
            read += len(tokens)
            first = number * request.n
            if self._kind == "masked":
                written += yield from self._fill(tokens, first)
            elif request.n == 1:
                written += yield from self._write(request, tokens, first)
            else:
                written += yield from self._write_several(request, tokens, first)
        yield UsageReported(usage=Usage(input_tokens=read, output_tokens=written))

    def _options(self, request: Request, tokens: list[int]) -> dict[str, Any]:
        import torch

        sampling = request.sampling
        temperature = 1.0 if sampling.temperature is None else sampling.temperature
        room = self._context_tokens - (0 if self._kind == "seq2seq" else len(tokens))
        options: dict[str, Any] = {
            "input_ids": torch.tensor([tokens]),
            "attention_mask": torch.ones((1, len(tokens)), dtype=torch.long),
            "max_new_tokens": max(1, min(request.max_output_tokens or room, room)),
            "do_sample": temperature > 0,
            "num_return_sequences": request.n,
            "pad_token_id": self._pad(),
        }
        if temperature > 0:
            options["temperature"] = temperature
            options["top_k"] = sampling.top_k if sampling.top_k is not None else 0
            options["top_p"] = sampling.top_p if sampling.top_p is not None else 1.0
        elif request.n > 1:
            options["num_beams"] = request.n  # greedy answers would all be the same one
        if sampling.repetition_penalty is not None:
            options["repetition_penalty"] = sampling.repetition_penalty
        if request.stop:
            options |= {"stop_strings": list(request.stop), "tokenizer": self._tokenizer}
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed & 0xFFFF_FFFF)
        return options

    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(pad if pad is not None else self._tokenizer.eos_token_id or 0)

    def _write(self, request: Request, tokens: list[int], choice: int) -> Generator[Event, None, int]:
        """One answer, word by word. Returns its tokens."""
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(
            self._tokenizer, skip_prompt=self._kind == "causal", skip_special_tokens=True, timeout=_STREAM_WAIT_S
        )
        options = self._options(request, tokens)
        outputs: list[Any] = []
        failures: list[BaseException] = []

        def work() -> None:
            try:
                outputs.append(self._model.generate(**options, streamer=streamer))
            except BaseException as error:
                failures.append(error)
                streamer.end()  # type: ignore[no-untyped-call]

        thread = Thread(target=work, daemon=True)
        thread.start()
        for piece in streamer:
            if piece:
                yield TextDelta(piece, choice)
        thread.join()
        if failures:
            raise MintageError("upstream_failed", "The local engine failed.", "Try again.") from failures[0]
        written = self._written(outputs[0][0].tolist(), tokens)
        yield self._finished(written, options["max_new_tokens"], choice)
        return len(written)

    def _write_several(self, request: Request, tokens: list[int], first: int) -> Generator[Event, None, int]:
        options = self._options(request, tokens)
        total = 0
        for number, sequence in enumerate(self._model.generate(**options).tolist()):
            written = self._written(sequence, tokens)
            total += len(written)
            yield TextDelta(self._tokenizer.decode(written, skip_special_tokens=True), first + number)
            yield self._finished(written, options["max_new_tokens"], first + number)
        return total

    def _written(self, sequence: list[int], tokens: list[int]) -> list[int]:
        """What the model added, up to and with its end token; padding and the decoder's start are not its work."""
        added = sequence[1:] if self._kind == "seq2seq" else sequence[len(tokens) :]
        end = self._tokenizer.eos_token_id
        if end is not None and end in added:
            return added[: added.index(end) + 1]
        return added

    def _finished(self, written: list[int], most: int, choice: int) -> ChoiceFinished:
        ended = bool(written) and written[-1] == self._tokenizer.eos_token_id
        return ChoiceFinished("length" if len(written) >= most and not ended else "stop", choice)

    def _fill(self, tokens: list[int], choice: int) -> Generator[Event, None, int]:
        """The prompt with its blanks filled in, likeliest first."""
        import torch

        mask = self._tokenizer.mask_token_id
        blanks = [at for at, token in enumerate(tokens) if token == mask]
        if not blanks:
            raise MintageError(
                "invalid_request", "This model fills blanks, and there is none.",
                f"Write {self._tokenizer.mask_token} where it shall fill in a word.", param="prompt",
            )  # fmt: skip
        with torch.no_grad():
            logits = self._model(input_ids=torch.tensor([tokens])).logits[0]
        filled = [int(logits[at].argmax()) for at in blanks]
        for at, token in zip(blanks, filled, strict=True):
            tokens[at] = token
        yield TextDelta(self._tokenizer.decode(tokens, skip_special_tokens=True), choice)
        yield ChoiceFinished("stop", choice)
        return len(filled)


def kind_of(config: Any) -> Kind:
    """What the checkpoint's configuration says that it is."""
    if getattr(config, "is_encoder_decoder", False):
        return "seq2seq"
    architectures = " ".join(getattr(config, "architectures", None) or ())
    if "MaskedLM" in architectures or "ForPreTraining" in architectures:
        return "masked"
    return "causal"
