"""From a stream of events to one whole answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from mintage.base import (
    Answer,
    AnswerStarted,
    AudioDelta,
    Choice,
    ChoiceFinished,
    Event,
    FinishReason,
    MintageError,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
)


@dataclass(slots=True)
class _Piece:
    """A part while it is being written. number tells one tool call from another."""

    kind: type[Part]
    texts: list[str]
    number: int = 0
    id: str = ""
    name: str = ""
    signature: str = ""
    redacted: bool = False

    def part(self) -> Part:
        text = "".join(self.texts)
        if self.kind is Text:
            return Text(text)
        if self.kind is Refusal:
            return Refusal(text)
        if self.kind is Reasoning:
            return Reasoning(text=text, signature=self.signature, redacted=self.redacted)
        return ToolCall(id=self.id, name=self.name, arguments=text, signature=self.signature)


@dataclass(slots=True)
class _ChoiceState:
    """The parts in the order in which the model wrote them."""

    pieces: list[_Piece] = field(default_factory=list)
    calls: dict[int, _Piece] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_sequence: str | None = None

    def write(self, kind: type[Part], text: str) -> _Piece:
        """A signed piece of reasoning is whole: what follows it is another one."""
        last = self.pieces[-1] if self.pieces else None
        if last is None or last.kind is not kind or last.signature:
            last = _Piece(kind, [])
            self.pieces.append(last)
        last.texts.append(text)
        return last

    def call(self, event: ToolCallDelta) -> None:
        piece = self.calls.get(event.index)
        if piece is None:
            piece = self.calls[event.index] = _Piece(ToolCall, [], event.index)
            self.pieces.append(piece)
        piece.id, piece.name = event.id or piece.id, event.name or piece.name
        piece.signature = event.signature or piece.signature
        piece.texts.append(event.arguments)


class Collector:
    """Feed it every event in order, then ask for the answer."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._started = AnswerStarted(model=model)
        self._choices: dict[int, _ChoiceState] = {}
        self._usage = Usage()

    def add(self, event: Event) -> None:
        if isinstance(event, AnswerStarted):
            self._started = event
        elif isinstance(event, UsageReported):
            self._usage = event.usage
        else:
            self._add_to_choice(self._choices.setdefault(event.choice, _ChoiceState()), event)

    @staticmethod
    def _add_to_choice(choice: _ChoiceState, event: Event) -> None:
        if isinstance(event, TextDelta):
            if event.text:
                choice.write(Text, event.text)
            choice.logprobs += event.logprobs
        elif isinstance(event, ReasoningDelta):
            if event.text or event.signature:
                piece = choice.write(Reasoning, event.text)
                piece.signature, piece.redacted = event.signature, event.redacted
        elif isinstance(event, RefusalDelta):
            choice.write(Refusal, event.text)
        elif isinstance(event, ToolCallDelta):
            choice.call(event)
        elif isinstance(event, ChoiceFinished):
            choice.finish_reason, choice.stop_sequence = event.reason, event.stop_sequence
        elif isinstance(event, AudioDelta):
            raise MintageError("unsupported", "Audio answers are read as a stream.", "Set stream to true.")

    def answer(self) -> Answer:
        """Raises upstream_failed if a choice never finished: a cut answer is not a whole one."""
        if not self._choices or any(choice.finish_reason is None for choice in self._choices.values()):
            raise MintageError("upstream_failed", "The answer ended before it was finished.", "Try again.")
        return Answer(
            model=self._model,
            choices=tuple(
                Choice(
                    parts=tuple(piece.part() for piece in c.pieces),
                    finish_reason=c.finish_reason or "stop",
                    logprobs=tuple(c.logprobs),
                    stop_sequence=c.stop_sequence,
                )
                for _, c in sorted(self._choices.items())
            ),
            usage=self._usage,
            upstream_id=self._started.upstream_id,
            fingerprint=self._started.fingerprint,
        )
