"""Every method by name: `METHODS["simclr"]`."""

from sslcourse.methods.contrastive.simclr import SimCLR
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.pretext.color_proxy import ColorProxy
from sslcourse.methods.pretext.colorization import Colorization
from sslcourse.methods.pretext.context import Context
from sslcourse.methods.pretext.context_encoder import ContextEncoder
from sslcourse.methods.pretext.counting import Counting
from sslcourse.methods.pretext.egomotion import Egomotion
from sslcourse.methods.pretext.jigsaw import Jigsaw
from sslcourse.methods.pretext.rotnet import RotNet
from sslcourse.methods.pretext.split_brain import SplitBrain
from sslcourse.methods.pretext.tracking import Tracking
from sslcourse.methods.pretext.video_color import VideoColor
from sslcourse.methods.supervised import Supervised

__all__ = [
    "METHODS",
    "ColorProxy",
    "Colorization",
    "Context",
    "ContextEncoder",
    "Counting",
    "Egomotion",
    "Jigsaw",
    "Method",
    "Paper",
    "RotNet",
    "SimCLR",
    "SplitBrain",
    "Supervised",
    "Tracking",
    "VideoColor",
]

METHODS: dict[str, type[Method]] = {
    cls.name: cls
    for cls in (
        Supervised,
        RotNet,
        Context,
        Jigsaw,
        Counting,
        SimCLR,
        ContextEncoder,
        Egomotion,
        Tracking,
        Colorization,
        SplitBrain,
        ColorProxy,
        VideoColor,
    )
}
