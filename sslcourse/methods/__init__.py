"""Every method by name: `METHODS["simclr"]`."""

from sslcourse.methods.contrastive.amdim import AMDIM
from sslcourse.methods.contrastive.cmc import CMC
from sslcourse.methods.contrastive.cpc import CPC
from sslcourse.methods.contrastive.detcon import DetCon
from sslcourse.methods.contrastive.exemplar import Exemplar
from sslcourse.methods.contrastive.infomin import InfoMin
from sslcourse.methods.contrastive.moco import MoCo
from sslcourse.methods.contrastive.moco_v3 import MoCoV3
from sslcourse.methods.contrastive.nat import NAT
from sslcourse.methods.contrastive.npid import InstanceDiscrimination
from sslcourse.methods.contrastive.pcl import PCL
from sslcourse.methods.contrastive.pirl import PIRL
from sslcourse.methods.contrastive.simclr import SimCLR
from sslcourse.methods.contrastive.triplet import Triplet
from sslcourse.methods.distillation.barlow import Barlow
from sslcourse.methods.distillation.bownet import BoWNet
from sslcourse.methods.distillation.byol import BYOL
from sslcourse.methods.distillation.dino import DINO
from sslcourse.methods.distillation.obow import OBoW
from sslcourse.methods.distillation.simsiam import SimSiam
from sslcourse.methods.distillation.swav import SwAV
from sslcourse.methods.distillation.vicreg import VICReg
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
    "AMDIM",
    "BYOL",
    "CMC",
    "CPC",
    "DINO",
    "METHODS",
    "NAT",
    "PCL",
    "PIRL",
    "Barlow",
    "BoWNet",
    "ColorProxy",
    "Colorization",
    "Context",
    "ContextEncoder",
    "Counting",
    "DetCon",
    "Egomotion",
    "Exemplar",
    "InfoMin",
    "InstanceDiscrimination",
    "Jigsaw",
    "Method",
    "MoCo",
    "MoCoV3",
    "OBoW",
    "Paper",
    "RotNet",
    "SimCLR",
    "SimSiam",
    "SplitBrain",
    "Supervised",
    "SwAV",
    "Tracking",
    "Triplet",
    "VICReg",
    "VideoColor",
]

METHODS: dict[str, type[Method]] = {  # in the talk's order
    cls.name: cls
    for cls in (
        Supervised,
        RotNet,
        Context,
        Jigsaw,
        Counting,
        ContextEncoder,
        Colorization,
        SplitBrain,
        ColorProxy,
        VideoColor,
        Egomotion,
        Tracking,
        Exemplar,
        InstanceDiscrimination,
        Triplet,
        CPC,
        SimCLR,
        MoCo,
        MoCoV3,
        PIRL,
        PCL,
        CMC,
        AMDIM,
        InfoMin,
        NAT,
        DetCon,
        BYOL,
        SimSiam,
        Barlow,
        VICReg,
        SwAV,
        DINO,
        BoWNet,
        OBoW,
    )
}
