"""The command as a user meets it: what it prints, where, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslcourse import cli
from sslcourse.cli import arguments as parsing
from sslcourse.errors import Diverged, UserError
from sslcourse.methods import METHODS
from tests.conftest import planted

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small folder of images, PATH/{train,test}/CLASS/*."""
    root = tmp_path_factory.mktemp("images")
    for split, n, seed in (("train", 80, 1), ("test", 40, 2)):
        images = planted(n, size=32, seed=seed)
        for i, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
            where = root / split / f"class{label}"
            where.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(
                where / f"{i:03}.png"
            )  # (3, H, W) -> (H, W, 3)
    return root


@pytest.fixture(scope="module")
def run_folder(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    cli.main(
        [
            "pretrain",
            "simclr",
            "--data",
            f"folder:{folder}",
            "--out",
            str(out),
            "--profile",
            "smoke",
            "--device",
            "cpu",
        ]
    )
    return out


def stdout_json(capsys):
    return json.loads(capsys.readouterr().out)


def fails(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().split("\n")
    assert len(lines) == 1, captured.err
    return stop.value.code, lines[0]


def test_methods_are_listed_with_paper_and_chapter(capsys):
    cli.main(["methods", "--json"])
    rows = stdout_json(capsys)
    assert [row["name"] for row in rows] == list(METHODS)
    assert all({"name", "chapter", "paper", "arxiv"} <= row.keys() for row in rows)
    assert all((ROOT / row["file"]).stem == row["name"] for row in rows)
    assert {row["name"]: row["taught_by"] for row in rows if row["taught_by"]} == {"bownet": "rotnet"}
    cli.main(["methods"])
    assert "2002.05709" in capsys.readouterr().out


def test_data_lists_what_can_be_loaded(capsys):
    cli.main(["data", "--json"])
    assert {"toybox", "digits", "cifar10"} <= {row["name"] for row in stdout_json(capsys)}


def test_pretrain_then_evaluate_prints_the_contracts_rows(folder, run_folder, capsys):
    assert {p.name for p in run_folder.iterdir()} == {
        "config.json",
        "history.jsonl",
        "model.safetensors",
        "state.safetensors",
    }
    cli.main(["evaluate", str(run_folder), "--protocols", "knn", "linear", "--json", "--device", "cpu"])
    rows = stdout_json(capsys)
    keys = {"method", "data", "protocol", "metric", "value", "n_train", "n_test", "seconds", "device"}
    assert all(keys <= row.keys() for row in rows)
    assert {(row["method"], row["protocol"]) for row in rows} == {
        (m, p) for m in ("simclr", "random") for p in ("knn", "linear")
    }
    assert all(0 <= row["value"] <= 1 and row["n_test"] == 40 for row in rows)
    assert rows[0]["data"] == f"folder:{folder}"


def test_pretrain_prints_one_document(folder, tmp_path, capsys):
    cli.main(["pretrain", "rotnet", "--data", f"folder:{folder}", "--out", str(tmp_path / "r"), "--profile", "smoke",
              "--epochs", "2", "--encoder", "small", "--seed", "3", "--device", "cpu", "--json"])  # fmt: skip
    document = stdout_json(capsys)
    assert document["epochs"] == 2 and len(document["history"]) == 2
    assert json.loads((tmp_path / "r/config.json").read_text())["seed"] == 3


def test_embed_writes_features_paths_and_labels(folder, run_folder, tmp_path, capsys):
    out = tmp_path / "features.npz"
    cli.main(
        [
            "embed",
            str(run_folder),
            "--data",
            f"folder:{folder}",
            "--out",
            str(out),
            "--json",
            "--device",
            "cpu",
        ]
    )
    assert stdout_json(capsys)["images"] == 120
    arrays = np.load(out)
    assert arrays["features"].shape[0] == len(arrays["paths"]) == len(arrays["labels"]) == 120
    for path, label in zip(arrays["paths"], arrays["labels"], strict=True):
        assert arrays["classes"][label] in path
    few = ["embed", run_folder, "--data", f"folder:{folder}", "--out", out, "--limit", 7, "--device", "cpu"]
    cli.main([str(a) for a in few])
    assert np.load(out)["paths"].tolist() == arrays["paths"][:7].tolist()


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    """Python would complain of the broken pipe as it ends."""
    read, write = os.pipe()
    os.close(read)
    code = "from sslcourse import cli; cli.main(['methods'])"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=env, stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert told.returncode == 1 and told.stderr == b""


def test_mistakes_are_one_line_and_status_two(folder, run_folder, tmp_path, capsys):
    code, line = fails(capsys, "pretrain", "simclrr", "--data", "toybox", "--out", tmp_path)
    assert code == 2 and "simclrr" in line
    code, line = fails(capsys, "pretrain", "simclr", "--data", "folder:/nowhere", "--out", tmp_path)
    assert code == 2 and "/nowhere" in line
    code, line = fails(capsys, "evaluate", tmp_path)
    assert code == 2 and "is not a run" in line
    code, line = fails(capsys, "evaluate", run_folder, "--protocols", "knnn")
    assert code == 2 and "knnn" in line
    code, line = fails(capsys, "pretrain", "simclr", "--data", "toybox")
    assert code == 2 and "--out" in line
    again = [
        "pretrain",
        "simclr",
        "--data",
        f"folder:{folder}",
        "--out",
        run_folder,
        "--profile",
        "smoke",
        "--device",
        "cpu",
    ]
    code, line = fails(capsys, *again, "--seed", "5")
    assert code == 2 and "seed = 0, and 5" in line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--lr", "nan"),
        ("--lr", "-1"),
        ("--lr", "1e38"),
        ("--encoder", "timm:resnet10t.c3_in1k"),
        ("--seed", "-1"),
        ("--seed", "9" * 20),
        ("--out", ""),
        ("--encoder", "beside"),
    ],
)
def test_options_out_of_range_are_named(folder, tmp_path, capsys, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)  # an empty --out that were taken would be the current folder
    given = {"--data": f"folder:{folder}", "--out": str(tmp_path / "run"), option: value}
    code, line = fails(capsys, "pretrain", "simclr", *(text for pair in given.items() for text in pair))
    assert code == 2 and (option in line or value in line)


def test_ctrl_c_says_how_to_go_on(folder, run_folder, tmp_path, capsys, monkeypatch):
    from sslcourse import training

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "pretrain", interrupted)
    again = ["pretrain", "simclr", "--data", f"folder:{folder}", "--out"]
    for arguments, said in (
        ([run_folder], f"go on, give the same command again ({run_folder}"),
        ([run_folder, "--fresh"], f"go on, give the same command again without --fresh ({run_folder}"),
        ([tmp_path / "new"], "stopped"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in [*again, *arguments]])
        line = capsys.readouterr().err.strip()
        assert stop.value.code == 130 and said in line and ("go on" in line) == (said != "stopped")


def test_divergence_is_one_line_and_status_one(folder, tmp_path, capsys, monkeypatch):
    from sslcourse import training

    def diverges(*_, **__):
        raise Diverged("the loss is nan at step 3; lower the learning rate")

    monkeypatch.setattr(training, "pretrain", diverges)
    code, line = fails(capsys, "pretrain", "simclr", "--data", f"folder:{folder}", "--out", tmp_path)
    assert code == 1 and line == "sslcourse: the loss is nan at step 3; lower the learning rate"


def test_shortcuts_are_listed_and_run(capsys, monkeypatch):
    from sslcourse import shortcuts
    from sslcourse.studies import SHORTCUTS

    cli.main(["shortcuts", "--json"])
    listed = stdout_json(capsys)
    assert [row["name"] for row in listed] == list(SHORTCUTS)
    assert all(row["leak"] and len(row["variants"]) >= 2 for row in listed)
    ran = []
    monkeypatch.setattr(
        shortcuts, "run", lambda name, seed, device: ran.append((name, seed)) or [{"shortcut": name}]
    )
    cli.main(["shortcuts", "gap", "sky", "--seeds", "0", "1", "--json"])
    assert ran == [("gap", 0), ("gap", 1), ("sky", 0), ("sky", 1)]
    assert len(stdout_json(capsys)) == 4
    assert fails(capsys, "shortcuts", "loophole") == (
        2,
        f"sslcourse: no shortcut 'loophole': choose from {', '.join(SHORTCUTS)}",
    )


def test_failures_have_status_one(capsys, monkeypatch):
    def methods(a):
        return 1 / 0

    monkeypatch.setattr(parsing, "methods", methods)
    with pytest.raises(SystemExit) as stop:
        cli.main(["methods"])
    assert stop.value.code == 1 and "ZeroDivisionError" in capsys.readouterr().err


def test_help_names_every_protocol(capsys):
    from sslcourse.evaluate import PROTOCOLS

    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    assert set(PROTOCOLS) <= set(capsys.readouterr().out.split())


def test_help_does_not_import_torch():
    code = (
        "import sys; from sslcourse import cli; cli.parser().format_help(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_finds_this_environment_fit(capsys):
    cli.main(["doctor", "--json"])
    rows = stdout_json(capsys)
    assert {"python", "torch", "lightly", "device", "cache"} <= {row["check"] for row in rows}


def test_report_prints_results_as_markdown_or_one_document(capsys, tmp_path):
    cli.main(["report", "--markdown", "--build", str(tmp_path / "build")])
    text = capsys.readouterr().out
    assert text.startswith("# Results\n") and "\n| linear probe, SimCLR" in text and text.endswith("|\n")
    assert not (tmp_path / "build").exists()  # no figure is drawn
    cli.main(["report", "--markdown", "--json"])
    tables = stdout_json(capsys)
    assert all({"title", "source", "columns", "rows"} <= table.keys() for table in tables)
    assert all(len(row) == len(table["columns"]) for table in tables for row in table["rows"])


def test_report_reads_records(tmp_path):
    from sslcourse.cli.report import report

    row = {"method": "simclr", "data": "toybox", "protocol": "knn", "value": 0.7, "seed": 0, "seconds": 1.0}
    (tmp_path / "a.json").write_text(json.dumps({"device": "cpu", "results": [row, {"note": "not a score"}]}))
    rows, text = report(tmp_path / "build", results=tmp_path)
    assert len(rows) == 1 and rows[0]["record"] == "a" and "0.700" in text
    assert (tmp_path / "build/report.png").stat().st_size > 1000
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write .*report.png: Not a directory; choose another --build"
    ):
        report(tmp_path / "file" / "build", results=tmp_path)
