import importlib
import subprocess
import sys

import pytest

from sslcourse.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_a_module_is_found_under_its_former_name(old):
    assert importlib.import_module(old) is importlib.import_module(MOVED[old])


def test_as_notebooks_of_before_import_them():
    lines = (
        "from sslcourse.train import Loop, data_order",
        "from sslcourse.nets.bank import MemoryBank",
        "from sslcourse.methods.contrastive import losses, metric_learning",
        "from sslcourse.methods.contrastive.losses import info_nce",
        "from sslcourse import talk",
        "from sslcourse.studies import talk as tables",
        "assert talk.VOC is tables.VOC and talk.RESNET is tables.RESNET",
        "assert losses.info_nce is info_nce and metric_learning.margin_loss",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
