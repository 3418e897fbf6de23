"""What RESULTS.md shows: one entry per table. Rows and columns come from the records, so new rows appear by themselves.

A record that no entry names gets a table of its methods by PROTOCOLS.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Methods and other rows as people call them; what is not here stands as the record has it
NAMES = {
    "random": "random initialisation", "supervised": "all labels", "scratch": "from scratch", "rotnet": "RotNet",
    "context": "Context prediction", "jigsaw": "Jigsaw", "counting": "Counting",
    "context_encoder": "Context Encoder", "colorization": "Colourisation", "split_brain": "Split-brain",
    "color_proxy": "Colour proxy", "video_color": "Video colourisation", "egomotion": "Egomotion",
    "tracking": "Tracking", "exemplar": "Exemplar CNN", "npid": "NPID", "triplet": "Triplet loss", "cpc": "CPC",
    "simclr": "SimCLR", "moco": "MoCo v2", "moco_v3": "MoCo v3", "pirl": "PIRL", "pcl": "PCL", "cmc": "CMC",
    "amdim": "AMDIM", "infomin": "InfoMin", "nat": "NAT", "detcon": "DetCon", "byol": "BYOL",
    "simsiam": "SimSiam", "barlow": "Barlow Twins", "vicreg": "VICReg",
    "swav": "SwAV", "dino": "DINO", "bownet": "BoWNet", "obow": "OBoW", "pseudo_label": "pseudo-label",
    "vat": "VAT", "uda": "UDA", "fixmatch": "FixMatch", "s4l": "S4L", "knn": "k-NN", "finetune": "fine-tuned",
    "lowshot": "few labels", "data": "trained on", "probe": "probed on", "semisupervised": "semi-supervised",
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A number of a row: its key, its heading, and what it is multiplied by (100: fractions become %)."""

    key: str
    heading: str = ""
    scale: float = 100
    digits: int = 1


@dataclass(frozen=True)
class Table:
    """One record as a table: mean ± standard deviation over seeds of every cell.

    rows: the keys that tell the lines apart, each a column of its own; told: more such columns, which only say what
    stands in a line's first row; across: the keys that tell the columns apart; where: key -> what it may be; by: a key
    for each value of which there is a table, called by `kinds`; names: over NAMES, and for every text. `record` may end in * for several records in one table.
    """

    title: str
    record: str
    rows: tuple[str, ...] = ("method",)
    told: tuple[str, ...] = ("data", "probe")
    across: tuple[str, ...] = ("protocol", "fraction")
    values: tuple[Value, ...] = (Value("value"), Value("random", "random"))
    where: dict[str, tuple] = field(default_factory=dict)
    by: str = ""
    kinds: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One number of the first table: `key` of the rows of a record that match `where`, and another beside it."""

    what: str
    record: str
    where: dict
    beside: str = ""
    beside_where: dict | None = None  # default: the same rows
    key: str = "value"
    beside_key: str = "value"


def _on(protocol: str, method: str, **more) -> dict:
    return {"protocol": protocol, "method": method, **more}


RANDOM, PROBED = "random initialisation", {"protocol": "linear"}
CHANGED = {"data": "changed, 100 labels anew"}
LINES = (
    Line("linear probe, SimCLR (16 epochs)", "simclr", {**PROBED, "what": "h"}, RANDOM, {**PROBED, "what": "random"}),
    Line("the same without colour distortion", "simclr", {**PROBED, "what": "without colour"}, RANDOM,
         {**PROBED, "what": "random"}),
    Line("linear probe, RotNet (6 epochs)", "rotations", _on("linear", "rotnet", layer="stage3"), RANDOM,
         _on("linear", "random", layer="stage3")),
    Line("on photographs, linear probe: SimCLR (8 epochs)", "rotations_photographs",
         _on("linear", "simclr", layer="stage3"), "RotNet (4 epochs)", _on("linear", "rotnet", layer="stage3")),
    Line("cat or dog: SimCLR", "rotations_photographs", _on("pair", "simclr"), "RotNet", _on("pair", "rotnet")),
    Line("1% of the labels: frozen SimCLR", "labels", {"method": "frozen", "fraction": 0.01}, "from scratch",
         {"method": "scratch", "fraction": 0.01}),
    Line("from scratch, 10% of the labels", "labels", {"method": "scratch", "fraction": 0.1}, "all labels",
         {"method": "scratch", "fraction": 1.0}),
    Line("a world that changed, 100 new labels: frozen RotNet", "motivation", {"method": "frozen rotnet", **CHANGED},
         "from scratch", {"method": "scratch", **CHANGED}),
    Line("rotation named after 3 epochs, toybox", "rotations", _on("pretext", "rotnet, short", data="upright"),
         "seen from above, chance 25", _on("pretext", "rotnet, short", data="above")),
    Line("the same, under a bright sky", "rotations", _on("pretext", "rotnet, short", data="sky")),
    Line("tracking that emerges from colouring video, overlap J", "colour", _on("propagation", "video_color"),
         "copying the first frame", beside_key="curves.copy"),
    Line("place of a patch of noise, named through a lens", "shortcut_aberration",
         {"variant": "as the lens gives it"}, "one colour channel, chance 11", {"variant": "one channel"},
         key="control_accuracy", beside_key="control_accuracy"),
)  # fmt: skip

# The protocols whose values are fractions: what the table of a record without an entry shows
PROTOCOLS = (
    *("knn", "linear", "lowshot", "finetune", "multilabel", "segment", "detect", "objects", "factors"),
    *("semisupervised", "propagation"),
)
SCORE = (Value("value"),)
FEW = "Methods with something of their own for every image learn from 1,000 images, 60 to 80 times each."
TURNED = {"turned": "test images turned"}
FROZEN = {**TURNED, "pair": "lamp or mushroom", "unlike pair": "car or rocket"}
FROZEN_PHOTOGRAPHS = {**TURNED, "pair": "cat or dog", "unlike pair": "ship or frog"}
WORLDS = {"pretext": "rotation named", "probe": "linear, that world", "probe on upright": "linear, upright"}
AT_LENGTH = ("h", "z", "random", "without colour", "fine-tuned", "from scratch")
PLACES = {"h": "h, before the projector", "z": "z, after it"}
TABLES = (
    Table("The Toybox: is it hard in the right way?", "foundation", ("method", "data"),
          names={"simclr without colour": "SimCLR without colour distortion", "rotation": "rotation named"}),
    Table("Few labels, and a network trained without any", "labels",
          names={"frozen": "frozen SimCLR", "fine-tuned": "fine-tuned SimCLR"}),
    Table("Worlds with a long tail, and worlds that change", "motivation", told=(), across=("data",),
          names={f"{kind} {name}": f"{kind} {NAMES[name]}"
                 for kind in ("frozen", "fine-tuned") for name in ("simclr", "rotnet", "random")}),
    Table("RotNet: layer by layer", "rotations", across=("protocol", "layer"),
          where={"layer": ("stage1", "stage2", "stage3", "stage4")}),
    Table("RotNet: what turning does to a probe, and few labels", "rotations", names=FROZEN,
          where={"protocol": (*FROZEN, "frozen, 5% of labels", "finetune")},
          note="Linear probes; the last column is fine-tuned with 5% of the labels."),
    Table("RotNet: the same worlds for three epochs", "rotations", ("method", "data"),
          where={"protocol": tuple(WORLDS)}, names=WORLDS),
    Table("RotNet on photographs: layer by layer", "rotations_photographs", across=("protocol", "layer"),
          where={"layer": ("stage1", "stage2", "stage3")}),
    Table("RotNet on photographs: what turning does to a probe", "rotations_photographs", names=FROZEN_PHOTOGRAPHS,
          where={"protocol": tuple(FROZEN_PHOTOGRAPHS)}),
    Table("RotNet on photographs: the same worlds for two epochs", "rotations_photographs", ("method", "data"),
          where={"protocol": tuple(WORLDS)}, names=WORLDS),
    Table("Chapter one: motion", "motion", where={"protocol": ("knn", "linear", "finetune", "finetune, best rate")},
          names={"finetune, best rate": "fine-tuned, best rate"}),
    Table("Chapter one: structure", "structure", where={"protocol": ("knn", "linear")}),
    Table("Chapter one: structure, probed on standardised images", "structure",
          where={"protocol": ("linear, standardised images",)}),
    Table("Chapter one: colour", "colour", where={"protocol": ("knn", "linear")}),
    Table("Chapter one: how saturated colourisation is", "colour", ("method", "temperature"), told=(),
          values=(Value("value", scale=1),), where={"protocol": ("chroma",)},
          note="Mean distance from grey in units of Lab, not %."),
    Table("Chapter one: tracking that emerges from colour", "colour", across=(), where={"protocol": ("propagation",)},
          values=(Value("value", "J"), Value("curves.copy", "copying the first frame"),
                  Value("curves.ceiling", "ceiling"), Value("curves.random", "random")),
          note="Overlap of masks carried from the first frame with the true ones, mean over the frames after it."),
    Table("Chapter two: telling instances apart", "contrastive", note=FEW,
          names={"cpc": "CPC (patch by patch)", "nat": "NAT (gradients)"}),
    Table("Chapter two", "instances", ("method", "temperature", "negatives", "images"), values=SCORE, by="what",
          kinds={"main": "three methods", "temperature": "NPID's temperature",
                 "softmax": "negatives of NPID (0: all, the exact softmax)",
                 "visits": "NPID on all images, each seen a tenth as often",
                 "triplet": "which negatives triplets take", "oracle": "NPID told which negatives are of its class",
                 "background": "toys on other toys' floors", "labels": "CPC, few labels"},
          names={"plain": "NPID", "oracle": "NPID with an oracle"}),
    Table("Which views: SimCLR's Figure 5, linear probe", "augmentations", ("first",), told=(), across=("second",),
          note="A line's transform, then a column's, on one branch; three epochs. Each pair once."),
    Table("The same on photographs", "augmentations_photographs", ("first",), told=(), across=("second",),
          note="20,000 images of CIFAR-10, three epochs."),
    Table("SimCLR", "simclr", ("batch", "epochs", "temperature", "width"), values=SCORE, by="what",
          where={"what": ("batch", "temperature", "width", "width, random")},
          kinds={"batch": "batch and epochs", "width, random": "width, at random initialisation"}),
    Table("SimCLR: colour, where it is probed, few labels", "simclr", ("what",), told=(), values=SCORE, names=PLACES,
          where={"what": AT_LENGTH}),
    Table("SimCLR on photographs: batch and epochs", "simclr_photographs", ("batch", "epochs"), told=(), values=SCORE,
          where={"what": ("batch",)}),
    Table("SimCLR on photographs: colour, where it is probed, few labels", "simclr_photographs", ("what",), told=(),
          values=SCORE, names=PLACES, where={"what": AT_LENGTH}),
    Table("NPID: the normaliser of noise contrastive estimation", "normaliser", ("negatives",), values=SCORE),
    Table("MoCo", "moco", ("method", "batch", "momentum", "length", "version"), values=SCORE, by="what",
          where={"what": ("batch", "momentum", "length", "slow and long", "version")},
          kinds={"length": "length of the queue"}),
    Table("MoCo: the same network, untrained", "moco", ("what",), told=(), values=SCORE, where={"what": ("random",)},
          names={"random": "random initialisation"}),
    Table("Chapter three: self-distillation and bags of words", "distillation",
          names={"rotnet": "RotNet (BoWNet's teacher)"}),
    Table("Taken away: what becomes of the features", "collapse", ("method", "case"), told=(),
          where={"what": ("score",)}),
    Table("Taken away: the features after the last epoch", "collapse", ("method", "case"), told=(), across=(),
          where={"what": ("epoch",), "epoch": (4,)},
          values=(Value("effective_rank", "effective rank", 1), Value("feature_std", "std", 1, 2),
                  Value("std", "std of z", 1, 2), Value("entropy", "entropy", 1, 2),
                  Value("mean_entropy", "entropy of the mean", 1, 2), Value("kl", "KL", 1, 2)),
          note="Entropies of DINO's targets as shares of log K. *KL*: the targets from the answers, in nats."),
    Table("OBoW: words of one layer or two", "words", ("levels",), told=(), values=SCORE, where={"what": ("levels",)}),
    Table("OBoW: share of the words in use", "words", ("levels", "layer", "epoch"), told=(), across=(),
          where={"what": ("perplexity",)}, values=(Value("value", "perplexity over K"),)),
    Table("Dense probe: mean IoU on toybox-scenes", "words", told=(), across=("layer",), values=SCORE,
          where={"what": ("dense",)}),
    Table("Few labels without a pretext task", "semisupervised", names={"supervised": "labels only"}),
    Table("Shortcuts: leaky and cured", "shortcut_*", ("shortcut", "variant", "kind"), told=(), across=(),
          values=(Value("pretext_accuracy", "pretext task"), Value("control_accuracy", "control"),
                  Value("chance", "chance"), Value("probe_accuracy", "linear"), Value("random_probe", "random")),
          note="*control*: the pretext task on images in which only the leak is left; `sslcourse shortcuts` lists them. For\n"
               "architecture the pretext task is the share of the hidden pixels' variance that is explained."),
    Table("Real images: 5,000 of CIFAR-10", "cifar", told=("data",),
          note=f"Recipes for photographs where there are any, else those of Toybox. {FEW}"),
    Table("Real images on a GPU: all of CIFAR-10", "cifar_gpu", told=("data",), where={"kind": ("score",)}),
    Table("Real images on a GPU: as it learns", "cifar_gpu", ("epoch",), across=(), where={"kind": ("curve",)},
          values=(Value("minutes", "minutes", 1), Value("knn", "k-NN"), Value("loss", "loss", 1, 3))),
    Table("Real images on a GPU: an epoch beside a peer's", "cifar_gpu", ("name",), told=("what",), across=(),
          where={"kind": ("benchmark",)},
          values=(Value("ours", "ours (s)", 1, 2), Value("peer", "peer (s)", 1, 2), Value("ratio", "ratio", 1),
                  Value("images_per_second", "images/s", 1, 0))),
)  # fmt: skip
