"""One question, one answer: `score("bleu", hypotheses, references)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mintage.base import MintageError
from mintage.factory.evaluation import labels, rouge, translation
from mintage.factory.evaluation.options import METRICS, ScoreOptions, ScoreReport

Scorer = Callable[[str, Sequence[str], Sequence[Sequence[str]], ScoreOptions], ScoreReport]

_TRANSLATION: Final = frozenset(("lowercase", "lang"))
#: metric -> (how, the options it understands)
_SCORERS: Final[dict[str, tuple[Scorer, frozenset[str]]]] = {
    "bleu": (
        translation.bleu,
        _TRANSLATION | {"tokenize", "smooth", "smooth_value", "max_ngram_order", "effective_order"},
    ),
    "chrf": (translation.chrf, _TRANSLATION | {"char_order", "word_order", "beta", "whitespace", "eps_smoothing"}),
    "ter": (translation.ter, frozenset(("lang", "normalized", "no_punct", "asian_support", "case_sensitive"))),
    **dict.fromkeys(
        ("rouge1", "rouge2", "rougeL", "rougeLsum"), (rouge.rouge, frozenset(("lang", "tokenize", "stemmer")))
    ),
    **dict.fromkeys(("exact_match", "accuracy", "f1"), (labels.score_labels, _TRANSLATION)),
}


def score(
    metric: str,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    options: ScoreOptions | None = None,
) -> ScoreReport:
    """Score `hypotheses` (N segments) against `references` (R lists of N segments each).

    metric: a key of METRICS; `rouge1_f` and the like name the F-score outright. Raises MintageError for an unknown
    metric, an option that the metric does not have, or lists of different lengths.
    """
    options = options or ScoreOptions()
    name = _name(metric)
    scorer, known = _SCORERS[name]
    for option in ScoreOptions.__struct_fields__:
        if option not in known and getattr(options, option) != getattr(_DEFAULTS, option):
            raise MintageError(
                "invalid_request",
                f"{name} has no option {option}.",
                f"It has: {', '.join(sorted(known))}.",
                param=option,
            )
    _check_lengths(hypotheses, references)
    return scorer(name, hypotheses, references, options)


_DEFAULTS: Final = ScoreOptions()


def _name(metric: str) -> str:
    by_lower = {name.lower(): name for name in METRICS}
    lower = metric.strip().lower().replace("-", "_")
    found = by_lower.get(lower.replace("+", "")) or by_lower.get(lower.removesuffix("_f"))
    if found is None or (lower.endswith("_f") and not found.startswith("rouge")):
        raise MintageError(
            "invalid_request",
            f"There is no metric {metric[:40]!r}.",
            f"Choose from {', '.join(METRICS)}.",
            param="metric",
        )
    return found


def _check_lengths(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if not hypotheses:
        raise MintageError("invalid_request", "There are no hypotheses.", "Give at least one segment.")
    if not references:
        raise MintageError("invalid_request", "There are no references.", "Give at least one list of references.")
    for number, stream in enumerate(references, 1):
        if len(stream) != len(hypotheses):
            raise MintageError(
                "invalid_request",
                f"Reference {number} has {len(stream):,} segments, the hypotheses have {len(hypotheses):,}.",
                "Line n of every file must be about the same segment.",
            )
