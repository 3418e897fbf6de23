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
