"""Training: packed pretraining from a token store, and chat finetuning with the loss on answers alone.

In: a model, ids, TrainingOptions. Out: the folder of a Transformers checkpoint in safetensors, and the curve.
A stopped training goes on from its last checkpoint with the same batches. Start with loop.py.
"""

from mintage.factory.training.chat import finetune_chat, read_chats
from mintage.factory.training.loop import TrainingOptions, TrainingReport
from mintage.factory.training.pretrain import pretrain, save_model

__all__ = ["TrainingOptions", "TrainingReport", "finetune_chat", "pretrain", "read_chats", "save_model"]
