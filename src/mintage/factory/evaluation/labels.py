"""Labels and short answers: accuracy, macro F1 (each label counts alike, however rare), exact match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mintage.base import MintageError
from mintage.factory.evaluation.options import ScoreOptions, ScoreReport


def score_labels(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: ScoreOptions
) -> ScoreReport:
    """exact_match takes any of several references; a label has one truth."""
    if name != "exact_match" and len(references) > 1:
        raise MintageError("invalid_request", f"{name} has one reference.", "Give one file of true labels.")
    said = [_clean(text, options) for text in hypotheses]
    true = [[_clean(text, options) for text in stream] for stream in references]
    right = sum(mine in truths for mine, *truths in zip(said, *true, strict=True))
    details: dict[str, float | list[float]] = {"right": right}
    value = right / len(said)
    if name == "f1":
        value, details = _macro_f1(said, true[0])
    return ScoreReport(
        metric=name,
        score=value,
        segments=len(said),
        references=len(references),
        details=details,
        signature=f"case:{'lc' if options.lowercase else 'mixed'}|strip:yes" + ("|average:macro" * (name == "f1")),
    )


def _clean(text: str, options: ScoreOptions) -> str:
    return text.strip().lower() if options.lowercase else text.strip()


def _macro_f1(said: Sequence[str], true: Sequence[str]) -> tuple[float, dict[str, float | list[float]]]:
    """Of every label that was said or is true. A label that is never right has an F of 0."""
    hits = Counter(mine for mine, truth in zip(said, true, strict=True) if mine == truth)
    spoken, real = Counter(said), Counter(true)
    every = sorted(spoken.keys() | real.keys())
    fs = [2 * hits[label] / (spoken[label] + real[label]) for label in every]
    micro = hits.total() / len(said)
    return sum(fs) / len(fs), {"labels": len(every), "micro_f1": micro}
