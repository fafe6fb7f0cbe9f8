"""How good: hypotheses against references, segment by segment, by metrics that others can repeat.

In: lines of text and how to score them. Out: a ScoreReport with the score and the metric's full signature.
BLEU, chrF and TER are sacrebleu's, ROUGE is rouge-score's, so that a figure here is the figure elsewhere; Chinese gets
the tokenizers that the defaults lack. Labels have accuracy, F1 and exact match. Start at score.py.
"""

from mintage.factory.evaluation.options import METRICS, ScoreOptions, ScoreReport
from mintage.factory.evaluation.score import score
from mintage.factory.evaluation.segments import read_segments

__all__ = ["METRICS", "ScoreOptions", "ScoreReport", "read_segments", "score"]
