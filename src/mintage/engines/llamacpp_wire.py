"""Between the canonical request and llama.cpp's dialect of the OpenAI protocol: bodies in, chunks and errors out."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from mintage.base import AnswerStarted, ChoiceFinished, Event, MintageError, Request, Usage, UsageReported
from mintage.protocols import openai

_SEED_RANDOM: Final = 0xFFFFFFFF  # llama.cpp's own word for "choose one"
_NOISE: Final = re.compile(r"\[json\.exception[^\]]*\]\s*|^.*generation failed:\s*", re.S)
_MESSAGE_MAX: Final = 300
_encode = msgspec.json.Encoder().encode


class _ErrorBody(msgspec.Struct):
    code: int = 500
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _Cached(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None


class _Timings(msgspec.Struct):
    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class _Progress(msgspec.Struct):
    cache: int = 0
    processed: int = 0


class _Index(msgspec.Struct):
    index: int = 0


class Chunk(msgspec.Struct):
    """What is read of a chunk besides the text: the text is the shared decoder's business."""

    choices: list[_Index] = []
    error: _ErrorBody | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    prompt_progress: _Progress | None = None


class _CountBody(msgspec.Struct):
    input_tokens: int | None = None
    tokens: list[int] | None = None
    error: _ErrorBody | None = None


_CHUNK: Final = msgspec.json.Decoder(Chunk)
_COUNT: Final = msgspec.json.Decoder(_CountBody)


def call_bodies(request: Request, *, slot: int | None = None, reuse: bool = False) -> list[str]:
    """One body per call: a chat is one call; each prompt of a completion is one, and writes n answers.

    slot: where it is answered, None lets the engine choose. reuse: what that slot remembers may be used.
    """
    body: dict[str, object] = msgspec.json.decode(openai.encode_request(request, request.model, stream=True))
    for name in ("model", "user", "reasoning_effort", "max_completion_tokens"):
        body.pop(name, None)
    if (penalty := body.pop("repetition_penalty", None)) is not None:
        body["repeat_penalty"] = penalty
    if request.sampling.seed is not None:
        seed = request.sampling.seed & 0xFFFFFFFF
        body["seed"] = 0 if seed == _SEED_RANDOM else seed
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    # Counts with every chunk make a cut answer's usage exact; progress lets a prompt be cancelled between its batches.
    body |= {"stream": True, "timings_per_token": True, "return_progress": True}
    body["cache_prompt"] = reuse
    if slot is not None:
        body["id_slot"] = slot
    if request.operation == "chat":
        return [_encode(body).decode()]
    return [_encode({**body, "prompt": prompt}).decode() for prompt in request.prompts]


def count_calls(request: Request) -> list[tuple[str, bytes]]:
    """(path, body) of each question to the door; the sum of their answers is the request's input tokens."""
    if request.operation == "chat":
        bare = msgspec.structs.replace(request, n=1, logprobs=False, top_logprobs=0)
        return [("/v1/chat/completions/input_tokens", openai.encode_request(bare, request.model, stream=False))]
    return [
        ("/tokenize", _encode({"content": prompt, "add_special": True, "parse_special": True}))
        for prompt in request.prompts
    ]


def read_count(raw: bytes) -> int:
    """Raises what the engine refuses about the request."""
    try:
        body = _COUNT.decode(raw)
    except msgspec.DecodeError as error:
        raise failed() from error
    if body.error is not None:
        raise explain(body.error)
    if body.tokens is not None:
        return len(body.tokens)
    if body.input_tokens is None:
        raise failed()
    return body.input_tokens


class CallReader:
    """Reads the chunks of one call. choice_offset is where the choices of its prompt begin."""

    def __init__(self, choice_offset: int) -> None:
        self._offset = choice_offset
        self._decoder = openai.StreamDecoder()
        self._reported: dict[int, _Usage] = {}  # final counts by choice
        self._latest: dict[int, _Timings] = {}  # counts so far by choice
        self._progress = _Progress()
        self._choice = 0
        self.finished = 0  # choices that came to their end

    def read(self, text: str) -> list[Event]:
        """The events in one chunk, AnswerStarted left out. Raises what an error chunk means."""
        if not text.startswith("{"):
            return []  # [DONE], or the nothing between two results
        try:
            chunk = _CHUNK.decode(text)
        except msgspec.MsgspecError as error:
            raise failed() from error
        if chunk.error is not None:
            raise explain(chunk.error)
        if chunk.choices:
            self._choice = chunk.choices[0].index
        if chunk.prompt_progress is not None:
            self._progress = chunk.prompt_progress
        elif chunk.timings is not None:
            self._latest[self._choice] = chunk.timings
        if chunk.usage is not None:  # follows the end of the choice before it
            self._reported[self._choice] = chunk.usage
        events: list[Event] = []
        for event in self._decoder.feed(b"data: %b\n\n" % text.encode()):
            if isinstance(event, AnswerStarted | UsageReported):
                continue  # ours to say: llama.cpp would name the file of the weights
            if isinstance(event, ChoiceFinished):
                self.finished += 1
            events.append(msgspec.structs.replace(event, choice=event.choice + self._offset) if self._offset else event)
        return events

    @property
    def usage(self) -> Usage:
        """Exact, also midway: a prompt counts once for all n answers, and as far as it was read."""
        written = sum(
            self._reported[index].completion_tokens if index in self._reported else self._latest[index].predicted_n
            for index in self._latest.keys() | self._reported.keys()
        )
        if self._reported:
            first = self._reported[min(self._reported)]
            cached = first.prompt_tokens_details.cached_tokens if first.prompt_tokens_details else 0
            read = first.prompt_tokens - cached
        elif self._latest:
            timings = self._latest[min(self._latest)]
            cached, read = timings.cache_n, timings.prompt_n
        else:
            cached = min(self._progress.cache, self._progress.processed)
            read = self._progress.processed - cached
        return Usage(input_tokens=read, cached_read_tokens=cached, output_tokens=written)


def explain(error: _ErrorBody) -> MintageError:
    """llama.cpp's refusal as ours."""
    if error.type == "exceed_context_size_error":
        return MintageError(
            "context_length_exceeded",
            f"The prompt has {error.n_prompt_tokens} tokens; the model's window has {error.n_ctx}.",
            "Shorten the conversation.",
            param="messages",
            details={"input_tokens": error.n_prompt_tokens, "context_tokens": error.n_ctx},
        )
    if error.code == 501:
        return MintageError("unsupported", _clean(error.message), "Leave it out, or choose another model.")
    if error.code == 400:
        return _invalid(error.message)
    if error.code == 503:
        return MintageError("engine_busy", "The local engine is loading.", "Try again soon.", retry_after_s=2)
    return failed()


def explain_raised(error: Exception) -> MintageError:
    """The same for what the library raises instead: ValueError for requests it cannot turn into a prompt."""
    text = str(error)
    if "is not supported" in text:
        return MintageError("unsupported", _clean(text), "Leave it out, or choose another model.")
    if isinstance(error, ValueError) or "json.exception" in text:
        return _invalid(text)
    return failed()


def _invalid(text: str) -> MintageError:
    param = "response_format" if "schema" in text.lower() or "grammar" in text.lower() else None
    return MintageError(
        "invalid_request", f"The engine cannot read the request: {_clean(text)}.", "Change the request.", param=param
    )


def _clean(text: str) -> str:
    return _NOISE.sub("", text).strip().rstrip(".")[:_MESSAGE_MAX] or "it was refused"


def failed() -> MintageError:
    return MintageError("upstream_failed", "The local engine failed.", "Try again; its log may say more.")
