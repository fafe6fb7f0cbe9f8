"""Output shaping: trim, drop sentences that a small model repeats, strip Markdown; on whole or streamed answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mintage.base import ChoiceFinished, Event, TextDelta
from mintage.pricing import OutputPolicy

#: The end of a sentence or line, in English and Chinese. What follows belongs to the next one.
_SENTENCE_END: Final = re.compile(r"[.!?](?=\s)|[。！？…]|\n")
_SENTENCE_LIMIT_CHARACTERS: Final = 2_000  # text without an end is passed on in pieces of this size
_SHORTEST_REPEAT_CHARACTERS: Final = 8  # "Yes." may be said twice
_REMEMBERED: Final = 64

_MARKDOWN: Final = (
    (re.compile(r"^\s{0,3}#{1,6}\s+", re.MULTILINE), ""),
    (re.compile(r"^\s{0,3}```.*$\n?", re.MULTILINE), ""),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<!\w)[*_](?=\S)([^*_\n]+?)(?<=\S)[*_](?!\w)"), r"\1"),
    (re.compile(r"`([^`\n]+)`"), r"\1"),
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)"), r"\1"),
)


def plain(text: str) -> str:
    """Markdown's words without its marks."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return text


class _ChoiceShaper:
    """One choice's text: fed in any pieces, it yields the same shaped text."""

    def __init__(self, policy: OutputPolicy) -> None:
        self._policy = policy
        self._by_sentence = policy.deduplicate or policy.format == "plain"
        self._pending = ""
        self._spaces = ""  # white space that is dropped if nothing follows it
        self._begun = False
        self._said: dict[str, None] = {}

    def feed(self, text: str) -> str:
        if not self._by_sentence:
            return self._trimmed(text)
        self._pending += text
        return "".join(map(self._trimmed, self._sentences()))

    def finish(self) -> str:
        rest, self._pending = self._pending, ""
        shaped = self._trimmed(self._shaped(rest)) if rest else ""
        return shaped if self._policy.trim else shaped + self._spaces

    def _sentences(self) -> Iterator[str]:
        start = 0
        for end in _SENTENCE_END.finditer(self._pending):
            yield self._shaped(self._pending[start : end.end()])
            start = end.end()
        self._pending = self._pending[start:]
        while len(self._pending) > _SENTENCE_LIMIT_CHARACTERS:
            piece, self._pending = (
                self._pending[:_SENTENCE_LIMIT_CHARACTERS],
                self._pending[_SENTENCE_LIMIT_CHARACTERS:],
            )
            yield self._shaped(piece)

    def _shaped(self, sentence: str) -> str:
        if self._policy.deduplicate:
            key = " ".join(sentence.split()).casefold()
            if len(key) >= _SHORTEST_REPEAT_CHARACTERS:
                if key in self._said:
                    return ""
                self._said[key] = None
                if len(self._said) > _REMEMBERED:
                    del self._said[next(iter(self._said))]
        return plain(sentence) if self._policy.format == "plain" else sentence

    def _trimmed(self, text: str) -> str:
        if not self._policy.trim:
            return text
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        text = self._spaces + text
        kept = text.rstrip()
        self._spaces = text[len(kept) :]
        return kept


class OutputShaper:
    """Shapes the text of every choice of one answer. Events that are not text pass through, in order."""

    def __init__(self, policy: OutputPolicy) -> None:
        self._policy = policy
        self._choices: dict[int, _ChoiceShaper] = {}

    def feed(self, event: Event) -> Iterator[Event]:
        if isinstance(event, TextDelta):
            shaper = self._choices.setdefault(event.choice, _ChoiceShaper(self._policy))
            if text := shaper.feed(event.text):
                yield TextDelta(text, event.choice, event.logprobs)
            return
        if (
            isinstance(event, ChoiceFinished)
            and (done := self._choices.pop(event.choice, None))
            and (rest := done.finish())
        ):
            yield TextDelta(rest, event.choice)
        yield event
