"""Arguments for methods whose paper's sizes are too large for tests that build every method."""

SMALL = {
    "barlow": {"hidden": 64, "dim": 32},
    "vicreg": {"hidden": 64, "dim": 32},
    "swav": {"prototypes": 50, "hidden": 64, "dim": 32},
    "dino": {"outputs": 64, "hidden": 64, "bottleneck": 32},
    "simsiam": {"hidden": 64, "dim": 32},
}
