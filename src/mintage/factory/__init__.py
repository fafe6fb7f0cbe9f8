"""The factory: making a model, from a corpus to the registry, and what it cost.

In: corpora, recipes, checkpoints, hypotheses and references. Out: models with their lineage, scores, and postings of
what every step cost. It sits above the gateway, which sells what is made here.
Start with recipe.py (what a run is), run.py (how it goes on), stages.py (its steps), factory.py (what the desk sees).
"""

from mintage.factory.evaluation import METRICS, ScoreOptions, ScoreReport, read_segments, score
from mintage.factory.factory import Factory, Promote, Promoted, RunView, signer_of
from mintage.factory.lineage import Artifact, Deployment, MakingCost, Stage

__all__ = [
    "METRICS",
    "Artifact",
    "Deployment",
    "Factory",
    "MakingCost",
    "Promote",
    "Promoted",
    "RunView",
    "ScoreOptions",
    "ScoreReport",
    "Stage",
    "read_segments",
    "score",
    "signer_of",
]
