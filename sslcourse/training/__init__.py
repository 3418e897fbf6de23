"""Training: one loop for every method, its runs, and what lets many processes act as one."""

from sslcourse.training.loop import Loop, data_order
from sslcourse.training.optimiser import make_optimizer
from sslcourse.training.pretraining import pretrain
from sslcourse.training.run import Run

__all__ = ["Loop", "Run", "data_order", "make_optimizer", "pretrain"]
