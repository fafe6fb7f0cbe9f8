"""Training: each architecture by its own objective from a token store, and finetuning of what came of it.

In: a model or a job, ids, TrainingOptions. Out: the folder of a Transformers checkpoint in safetensors, and the curve.
A stopped training goes on from its last checkpoint with the same batches. Start with loop.py, then objectives.py.
"""

from mintage.factory.training.chat import finetune_chat, read_chats
from mintage.factory.training.distributed import run_pretraining
from mintage.factory.training.job import PretrainJob, PretrainResult
from mintage.factory.training.judge import Judged, judge_objective, unigram
from mintage.factory.training.objectives import Ids, marks_of
from mintage.factory.training.options import TrainingOptions, TrainingReport
from mintage.factory.training.pretrain import pretrain, save_model
from mintage.factory.training.rows import Codes, RowSource, open_codes, write_codes

__all__ = [
    "Codes",
    "Ids",
    "Judged",
    "PretrainJob",
    "PretrainResult",
    "RowSource",
    "TrainingOptions",
    "TrainingReport",
    "finetune_chat",
    "judge_objective",
    "marks_of",
    "open_codes",
    "pretrain",
    "read_chats",
    "run_pretraining",
    "save_model",
    "unigram",
    "write_codes",
]
