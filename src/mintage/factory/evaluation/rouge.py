"""ROUGE as rouge-score computes it (Lin, 2004), and with words for languages that its tokenizer would drop.

The default tokenizer keeps only a-z and 0-9: of a Chinese sentence nothing is left. Chinese, Japanese and Korean are
cut into characters, words of other scripts stay whole; `--tokenize jieba` cuts Chinese into words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Final

from mintage.base import MintageError
from mintage.factory.evaluation.options import ScoreOptions, ScoreReport
from mintage.factory.evaluation.translation import library

_NO_SPACES: Final = ("zh", "ja", "ko", "th")
TOKENIZERS: Final = ("default", "jieba", "char")
_WORD: Final = re.compile(r"[^\W_]+")
_IDEOGRAPH: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0002fa1f]|[^\W_\u3040-\u9fff\uac00-\ud7af]+"
)


class _Words:
    """rouge-score's protocol of a tokenizer."""

    def __init__(self, cut: Callable[[str], Sequence[str]]) -> None:
        self._cut = cut

    def tokenize(self, text: str) -> list[str]:
        return list(self._cut(text.lower()))


def _jieba() -> _Words:
    jieba = library("jieba", "jieba")
    jieba.setLogLevel("ERROR")
    return _Words(lambda text: [word for piece in jieba.cut(text) for word in _WORD.findall(piece)])


def _tokenizer(options: ScoreOptions) -> tuple[str, Any]:
    language = options.lang.lower().replace("_", "-").partition("-")[0]
    name = options.tokenize or ("char" if language in _NO_SPACES else "default")
    if name not in TOKENIZERS:
        raise MintageError(
            "invalid_request",
            f"ROUGE has no tokenizer {name[:40]!r}.",
            f"Choose from {', '.join(TOKENIZERS)}.",
            param="tokenize",
        )
    if options.stemmer and name != "default":
        raise MintageError(
            "invalid_request", f"The {name} tokenizer has no stemmer.", "Leave --stemmer out.", param="stemmer"
        )
    if name == "jieba":
        return name, _jieba()
    return name, _Words(_IDEOGRAPH.findall) if name == "char" else None


def rouge(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: ScoreOptions
) -> ScoreReport:
    """Each segment against its best reference (by F); the means over the segments."""
    words, tokenizer = _tokenizer(options)
    scorer = library("rouge_score.rouge_scorer").RougeScorer([name], use_stemmer=options.stemmer, tokenizer=tokenizer)
    sums = [0.0, 0.0, 0.0]
    if name == "rougeLsum":
        hypotheses = [_sentences(text) for text in hypotheses]
        references = [[_sentences(text) for text in stream] for stream in references]
    for hypothesis, *targets in zip(hypotheses, *references, strict=True):
        best = scorer.score_multi(targets, hypothesis)[name]
        for i, value in enumerate((best.precision, best.recall, best.fmeasure)):
            sums[i] += float(value)
    precision, recall, f = (value / len(hypotheses) for value in sums)
    stemmed = "|stem:yes" if options.stemmer else ""
    return ScoreReport(
        metric=name,
        score=f,
        segments=len(hypotheses),
        references=len(references),
        details={"precision": precision, "recall": recall, "f": f},
        signature=f"nrefs:{len(references)}|best:f|tok:{words}{stemmed}|version:rouge-score-{version('rouge-score')}",
    )


def _sentences(text: str) -> str:
    """A segment is one line, so a line break within it is written as a backslash and an n."""
    return text.replace("\\n", "\n")
