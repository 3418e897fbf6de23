"""MoCo, MoCo v3 and PCL as torchrun starts them: two processes of 16 are one of 32, through the whole loop."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import torch
from safetensors.torch import load_file

TWO = """
    import itertools, os, sys, torch
    torch.set_num_threads(1)
    sys.path.insert(0, {root!r})
    from safetensors.torch import save_file
    from sslcourse import nets, train
    from sslcourse.data.images import Data
    from sslcourse.methods import METHODS
    from sslcourse.recipes import Recipe
    from tests.conftest import planted
    data = Data("tiny", planted(64, seed=1), planted(8), planted(8))
    out = {{}}
    for name, arguments in {{
        "moco": {{"length": 80, "momentum": 0.9, "symmetric": True}},
        "moco_v3": {{"hidden": 16, "dim": 8}},
        "pcl": {{"length": 48, "momentum": 0.9, "images": 64, "clusters": [3, 5], "warmup": 0}},
    }}.items():
        torch.manual_seed(0)
        method = METHODS[name](nets.encoder("small", 16, width=4), **arguments).double()
        method.view = method.other_view = lambda x, n=itertools.count(): x if next(n) % 2 else x.flip(3)
        def before_step(m=method, name=name):
            out.update({{f"{{name}} gradient {{n}}": p.grad.clone() for n, p in m.named_parameters() if p.grad is not None}})
        method.before_step = before_step
        recipe = Recipe(epochs=1, batch=32, warmup=0, lr=0.05)
        run = train.pretrain(method, data, recipe=recipe, device="cpu", precision="64")
        out.update({{f"{{name}} {{n}}": v for n, v in method.state_dict().items()}})
        out[f"{{name}} loss"] = torch.tensor([line["loss"] for line in run.history], dtype=torch.float64)
    if int(os.environ.get("RANK", 0)) == 0:
        save_file({{n: v.contiguous().clone() for n, v in out.items()}}, sys.argv[1])
"""


def test_two_processes_of_16_are_one_of_32(tmp_path):
    """Losses, gradients, weights, queue, clusters of MoCo, MoCo v3 and PCL after an epoch."""
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(TWO.format(root=str(Path(__file__).parents[2]))))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared = {**shared, "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}  # what torchrun tells its processes
    started = [
        subprocess.Popen(
            [sys.executable, script, tmp_path / out],
            env={**os.environ, "OMP_NUM_THREADS": "1", **more}, stderr=subprocess.PIPE, text=True,
        )
        for out, more in (
            ("one", {}), *(("both", {**shared, "RANK": r, "LOCAL_RANK": r}) for r in "01"),
        )
    ]  # fmt: skip
    for process in started:
        complaint = process.communicate(timeout=300)[1]
        assert process.returncode == 0, complaint[-3000:]
    one, both = load_file(tmp_path / "one"), load_file(tmp_path / "both")
    assert one.keys() == both.keys() and one["moco queue.keys"].shape == (80, 128)
    assert sorted(set(one["moco made"].tolist())) == [0, 1]
    for key in one:
        torch.testing.assert_close(
            both[key], one[key], atol=1e-6, rtol=1e-6, msg=lambda m, k=key: f"{k}: {m}"
        )
