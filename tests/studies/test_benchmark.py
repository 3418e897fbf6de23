"""The structure of the benchmark's answer. What it measures depends on the machine and is never tested."""

import json

import pytest

from sslcourse.errors import UserError
from sslcourse.studies import benchmark
from sslcourse.studies.benchmark import ROWS, measure, run_benchmark


@pytest.mark.parametrize("name", ROWS)
def test_every_row_runs_and_says_what_it_measured(name):
    (row,) = run_benchmark([name], repeats=1, images=20, vectors=100, pairs=512, device="cpu")
    assert row["name"] == name and row["ours"] > 0 and row["images_per_second"] > 0 and row["device"] == "cpu"
    assert row["what"] and "\n" not in row["what"]
    if name.startswith("toybox"):
        assert row["peer"] is None and row["ratio"] is None
    else:
        assert row["ratio"] == pytest.approx(row["peer"] / row["ours"])
    json.dumps(row)


def test_runs_alternate_after_a_warm_up_and_the_fastest_peer_counts():
    import time

    import torch

    calls = []

    def run(name, seconds):
        return lambda: (calls.append(name), time.sleep(seconds))

    row = measure(2, 10, torch.device("cpu"), "", run("ours", 0.001), run("slow", 0.05), run("fast", 0.01))
    assert calls == ["ours", "slow", "fast"] * 3
    assert row["peer"] == min(row["peers"]) == row["peers"][1]


def test_an_unknown_row_is_named():
    with pytest.raises(UserError, match="no benchmark knnn: choose from simclr-views"):
        run_benchmark(["knnn"])


def test_blocks_keep_the_memory_of_infonce_linear_and_the_peers_is_quadratic():
    small, large = (run_benchmark(["infonce-16384"], 1, pairs=n, device="cpu")[0] for n in (512, 1024))
    assert large["peak_bytes"] < 2.2 * small["peak_bytes"]
    assert large["peer_peak_bytes"] > 3.5 * small["peer_peak_bytes"]


def test_a_peer_that_does_not_fit_is_timed_on_less(monkeypatch):
    monkeypatch.setattr(benchmark, "free_bytes", lambda device: 1_000_000)
    (row,) = run_benchmark(["infonce-16384"], 1, pairs=512, device="cpu")
    assert "pairs, times" in row["what"] and row["ratio"] == pytest.approx(row["peer"] / row["ours"])
