"""The factory: making a model, from a corpus to the registry, and what it cost.

In: corpora, recipes, checkpoints, hypotheses and references. Out: models with their lineage, scores, and postings of
what every step cost. It sits above the gateway, which sells what is made here.
Start at evaluation/score.py: how good an answer or a model is, in the field's own metrics.
"""

from mintage.factory.evaluation import METRICS, ScoreOptions, ScoreReport, read_segments, score

__all__ = ["METRICS", "ScoreOptions", "ScoreReport", "read_segments", "score"]
