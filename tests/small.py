"""Arguments for methods whose paper's sizes are too large for tests that build every method."""

SMALL = {
    "barlow": {"hidden": 64, "dim": 32},
    "vicreg": {"hidden": 64, "dim": 32},
    "simsiam": {"hidden": 64, "dim": 32},
}
