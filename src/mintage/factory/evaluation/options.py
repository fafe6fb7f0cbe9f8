"""What can be asked of a metric, and what it answers."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

#: metric -> what it measures and its range.
METRICS: Final[dict[str, str]] = {
    "bleu": "n-gram precision with a brevity penalty, 0 to 100",
    "chrf": "character n-gram F-score, 0 to 100; --word-order 2 makes it chrF++",
    "ter": "edits per reference word, in percent; lower is better",
    "rouge1": "unigram overlap, 0 to 1: precision, recall and F",
    "rouge2": "bigram overlap, 0 to 1: precision, recall and F",
    "rougeL": "longest common subsequence, 0 to 1: precision, recall and F",
    "rougeLsum": "longest common subsequence by sentence, 0 to 1; sentences are separated by \\n in a line",
    "exact_match": "share of segments equal to a reference, white space at the ends aside, 0 to 1",
    "accuracy": "share of labels that are right, 0 to 1",
    "f1": "F-score of labels, the mean over all labels (macro), 0 to 1",
}
Smooth = Literal["none", "floor", "add-k", "exp"]


class ScoreOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults are each metric's own, but for what the language needs. Options of other metrics are refused.

    lang: of the text, as in "en" or "zh"; Chinese, Japanese and Korean are not split at spaces.
    """

    lang: Annotated[str, Meta(max_length=16)] = ""
    lowercase: bool = False
    tokenize: str = ""  # bleu: 13a, intl, zh, char, none; rouge: default, jieba, char
    smooth: Smooth = "exp"
    smooth_value: float | None = None
    max_ngram_order: Annotated[int, Meta(ge=1, le=16)] = 4
    effective_order: bool = False
    char_order: Annotated[int, Meta(ge=1, le=32)] = 6
    word_order: Annotated[int, Meta(ge=0, le=8)] = 0
    beta: Annotated[int, Meta(ge=1, le=32)] = 2
    whitespace: bool = False
    eps_smoothing: bool = False
    normalized: bool = False
    no_punct: bool = False
    asian_support: bool = False
    case_sensitive: bool = False
    stemmer: bool = False


class ScoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """score: the corpus score in the metric's own range; for ROUGE the mean F of the segments.

    details: the metric's parts (precisions and brevity penalty of BLEU, precision and recall of ROUGE, edits of TER).
    signature: everything that the figure depends on, to be quoted with it.
    """

    metric: str
    score: float
    segments: int
    references: int
    details: dict[str, float | list[float]]
    signature: str
