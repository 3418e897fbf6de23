"""Modules under the names they had before they moved: notebooks that a reader has kept go on finding them."""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

MOVED = {
    "sslcourse.train": "sslcourse.training",
    "sslcourse.recipes": "sslcourse.training.recipes",
    "sslcourse.nets.bank": "sslcourse.methods.parts.bank",
    "sslcourse.nets.gamut": "sslcourse.methods.parts.gamut",
    "sslcourse.methods.contrastive.losses": "sslcourse.methods.parts.info_nce",
    "sslcourse.studies.talk": "sslcourse.talk.tables",
    "sslcourse.methods.contrastive.metric_learning": "sslcourse.methods.contrastive.triplet",
}


class Moved(MetaPathFinder, Loader):
    """Answers `import OLD` with the module that now has another name."""

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(MOVED[module.__name__])
