"""Numbers that the talk prints, so that lessons can lay ours beside them. None is a dash on the slide."""

from __future__ import annotations

# Transfer to PASCAL VOC 2007/2012 with AlexNet pre-trained on ImageNet; table of Gidaris et al. (2018).
# Where Split-Brain's own table reads differently, the talk's figure stands here.
VOC_COLUMNS = (
    "pre-trained with",
    "classify, fc6-8 (% mAP)",
    "classify, all (% mAP)",
    "detect (% mAP)",
    "segment (% mIoU)",
)
VOC = (
    ("ImageNet labels", 78.9, 79.9, 56.8, 48.0),
    ("random", None, 53.3, 43.4, 19.8),
    ("random rescaled (Krähenbühl et al. 2015)", 39.2, 56.6, 45.6, 32.6),
    ("egomotion (Agrawal et al. 2015)", 31.0, 54.2, 43.9, None),
    ("context encoders (Pathak et al. 2016)", 34.6, 56.5, 44.5, 29.7),
    ("tracking (Wang & Gupta 2015)", 55.6, 63.1, 47.4, None),
    ("context (Doersch et al. 2015)", 55.1, 65.3, 51.1, None),
    ("colourisation (Zhang et al. 2016)", 61.5, 65.6, 46.9, 35.6),
    ("BiGAN (Donahue et al. 2016)", 52.3, 60.1, 46.9, 34.9),
    ("jigsaw (Noroozi & Favaro 2016)", None, 67.6, 53.2, 37.6),
    ("NAT (Bojanowski & Joulin 2017)", 56.7, 65.3, 49.4, None),
    ("split-brain (Zhang et al. 2017)", 63.0, 67.1, 46.7, 36.0),
    ("colour proxy (Larsson et al. 2017)", None, 65.9, None, 38.4),
    ("counting (Noroozi et al. 2017)", None, 67.7, 51.4, 36.6),
    ("RotNet (Gidaris et al. 2018)", 70.87, 72.97, 54.4, 39.1),
)

# SimCLR's Table 7: ImageNet, top-5 in per cent, trained with few of the labels (Chen et al. 2020).
FEW_LABELS_COLUMNS = ("method", "architecture", "1% of labels", "10% of labels")
FEW_LABELS = {
    "labels only": (("supervised baseline", "ResNet-50", 48.4, 80.4),),
    "other label propagation": (
        ("pseudo-label", "ResNet-50", 51.6, 82.4),
        ("VAT + entropy minimisation", "ResNet-50", 47.0, 83.4),
        ("UDA (with RandAugment)", "ResNet-50", None, 88.5),
        ("FixMatch (with RandAugment)", "ResNet-50", None, 89.1),
        ("S4L (rotation + VAT + entropy min.)", "ResNet-50 (4x)", None, 91.2),
    ),
    "representation learning only": (
        ("InstDisc", "ResNet-50", 39.2, 77.4),
        ("BigBiGAN", "RevNet-50 (4x)", 55.2, 78.8),
        ("PIRL", "ResNet-50", 57.2, 83.8),
        ("CPC v2", "ResNet-161(*)", 77.9, 91.2),
        ("SimCLR", "ResNet-50", 75.5, 87.8),
        ("SimCLR", "ResNet-50 (2x)", 83.0, 91.2),
        ("SimCLR", "ResNet-50 (4x)", 85.8, 92.6),
    ),
}

# Table of OBoW (Gidaris et al. 2021): ResNet-50 pre-trained on ImageNet without labels, per cent. Where a source's own
# table reads differently, the talk's figure stands here.
RESNET_COLUMNS = (
    *("method", "epochs", "batch", "ImageNet linear", "Places205 linear", "VOC07 linear"),
    *("VOC detection AP50", "AP75", "AP", "1% of labels", "10% of labels"),
)
RESNET = (
    ("supervised", 100, 256, 76.5, 53.2, 87.5, 81.3, 58.8, 53.5, 48.4, 80.4),
    ("BoWNet", 325, 256, 62.1, 51.1, 79.3, 81.3, 61.1, 55.8, None, None),
    ("PCL", 200, 256, 67.6, 50.3, 85.4, None, None, None, 75.3, 85.6),
    ("MoCo v2", 200, 256, 67.5, None, None, 82.4, 63.6, 57.0, None, None),
    ("SimCLR", 200, 4096, 66.8, None, None, None, None, None, None, None),
    ("SwAV", 200, 256, 72.7, 56.2, 87.2, 81.8, 60.0, 54.4, 76.7, 88.7),
    ("BYOL", 300, 4096, 72.5, None, None, None, None, None, None, None),
    ("OBoW", 200, 256, 73.8, 56.8, 89.3, 82.9, 64.8, 57.9, 82.9, 90.7),
    ("PIRL", 800, 1024, 63.6, 49.8, 81.1, 80.7, 59.7, 54.0, 57.2, 83.8),
    ("MoCo v2", 800, 256, 71.1, 52.9, 87.1, 82.5, 64.0, 57.4, None, None),
    ("SimCLR", 1000, 4096, 69.3, 53.3, 86.4, None, None, None, 75.5, 87.8),
    ("BYOL", 1000, 4096, 74.3, None, None, None, None, None, 78.4, 89.0),
    ("SwAV", 800, 4096, 75.3, 56.5, 88.9, 82.6, 62.7, 56.1, 78.5, 89.9),
)
