"""The control: the same encoder, trained with labels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.nets import Encoder
from sslcourse.views import weak_view


class Supervised(Method):
    """Cross-entropy on labels, images shifted and flipped. `kept`: the encoder before its linear classifier.

    Symbols: the paper's softmax layer -> `classifier`.
    Differs: any encoder and no dropout. The paper crops 224 of 256 px, mirrors, and shifts colours along their
    principal components; ours are shifted by 4 px and mirrored.
    """

    name = "supervised"
    chapter = "control"
    paper = Paper("ImageNet Classification with Deep CNNs", "Krizhevsky et al.", "NeurIPS", 2012)
    uses_labels = True

    def __init__(self, encoder: Encoder, *, classes: int = 10):
        super().__init__(encoder)
        self.classes = classes
        self.view = weak_view()
        self.classifier = nn.Linear(encoder.dim, classes)

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        if data.train.labels is None:
            raise UserError(
                f"supervised needs labels and {data.name} has none; put the images in one folder a class"
            )
        return {"classes": len(data.classes)}

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        logits = self.classifier(self.encoder(self.view(images)))
        return {
            "loss": F.cross_entropy(logits, labels),
            "accuracy": (logits.argmax(1) == labels).float().mean(),
        }
