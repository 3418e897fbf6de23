"""Semi-supervised learning: few labelled images and many without, in one training."""

from __future__ import annotations

from sslcourse.evaluate.semisupervised.baseline import Baseline, Supervised
from sslcourse.evaluate.semisupervised.fixmatch import FixMatch
from sslcourse.evaluate.semisupervised.loop import train
from sslcourse.evaluate.semisupervised.protocol import BASELINES, semisupervised
from sslcourse.evaluate.semisupervised.pseudo_label import PseudoLabel
from sslcourse.evaluate.semisupervised.retraining import Retraining
from sslcourse.evaluate.semisupervised.s4l import S4L
from sslcourse.evaluate.semisupervised.uda import UDA
from sslcourse.evaluate.semisupervised.vat import VAT

__all__ = [
    "BASELINES", "S4L", "UDA", "VAT", "Baseline", "FixMatch", "PseudoLabel", "Retraining", "Supervised",
    "semisupervised", "train",
]  # fmt: skip
