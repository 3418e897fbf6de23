"""What has been made is told by the code that made it."""

import re
import textwrap

import pytest

from sslcourse import sources
from sslcourse.methods import METHODS
from sslcourse.sources import behind, digest, texts


def edited(monkeypatch, module: str, edit) -> None:
    """As if that module had been edited."""
    known = {**texts(), module: edit(texts()[module])}
    assert known != texts()
    monkeypatch.setattr(sources, "texts", lambda: known)


def of(method: str) -> str:
    return digest(behind("sslcourse.training.pretraining", METHODS[method].__module__))


def test_the_methods_are_told_apart_by_their_own_modules_and_those_they_build_on():
    assert {
        "sslcourse.training.pretraining",
        "sslcourse.training.run",
        "sslcourse.nets.resnet",
        "sslcourse.data.images",
    } <= behind("sslcourse.training.pretraining")
    moco, pcl, rotnet = (
        behind("sslcourse.training.pretraining", METHODS[name].__module__)
        for name in ("moco", "pcl", "rotnet")
    )
    assert "sslcourse.methods.contrastive.moco" in moco & pcl
    assert "sslcourse.views.randaugment" not in moco | rotnet  # which `sslcourse.views` has, too
    assert not any(re.search("moco|lesson|plots|studies|evaluate|toybox|cli", name) for name in rotnet)
    assert "sslcourse.nets.timm_net" in rotnet  # imported inside a function
    assert len({of(name) for name in METHODS}) == len(METHODS)


def test_mending_a_method_leaves_the_others_and_mending_the_loop_none(monkeypatch):
    before = {name: of(name) for name in ("cmc", "moco", "rotnet", "infomin")}

    def changed(module: str, edit) -> set[str]:
        with monkeypatch.context() as patch:
            edited(patch, module, edit)
            return {name for name in before if of(name) != before[name]}

    more = "\nMENDED = True\n"
    assert changed("sslcourse.methods.contrastive.cmc", lambda text: text + more) == {"cmc"}
    assert changed("sslcourse.training.pretraining", lambda text: text + more) == set(before)
    assert changed("sslcourse.views.randaugment", lambda text: text + more) == {"infomin"}
    for module in ("sslcourse.training.recipes", "sslcourse.lesson", "sslcourse.evaluate.knn"):
        assert not changed(module, lambda text: text + more)


def test_words_do_not_change_the_code(monkeypatch):
    before = of("cmc")

    def reworded(text: str) -> str:
        return re.sub(r'"""', '"""In other words: ', text.replace("\n\n", "\n# a comment\n\n"), count=1)

    edited(monkeypatch, "sslcourse.methods.contrastive.cmc", reworded)
    assert of("cmc") == before


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ('"""One."""\nx = 1', "x = 1  # one", True),
        ('def f():\n    """One."""\n    return 1', "def f():\n    return (1)", True),
        ('class A:\n    """One."""\n    x = 1', 'class A:\n    """Two."""\n\n    x = 1', True),
        ('def f():\n    """One."""', 'def f():\n    """Two."""', True),
        ('x = "one"', 'x = "two"', False),
        ('def f():\n    return """One."""', 'def f():\n    return """Two."""', False),
        ("x = 1", "x = 1.0", False),
    ],
)
def test_the_essence_of_a_module(a, b, same):
    assert (sources.essence(a) == sources.essence(b)) is same


def test_imports_are_followed_to_where_a_name_is_defined(tmp_path, monkeypatch):
    files = {
        "__init__": "",
        "a/__init__": "from sslcourse.a.one import f\nfrom sslcourse.a.two import g as h\nk = 1",
        "a/one": "f = 1",
        "a/two": "import sslcourse.b\ng = 1",
        "b": "",
        "uses_f": "from sslcourse.a import f",
        "uses_h": "def late():\n    from sslcourse.a import h",
        "uses_k": "from sslcourse.a import k",
        "round": "from sslcourse import round, uses_f\nimport torch\nfrom torch import nn",
    }
    package = tmp_path / "sslcourse"
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(textwrap.dedent(text))
    known = texts(package)
    monkeypatch.setattr(sources, "texts", lambda: known)

    def found(name: str) -> set[str]:
        return {each.removeprefix("sslcourse.") for each in behind(f"sslcourse.{name}")}

    assert found("uses_f") == {"uses_f", "a.one"} and found("uses_h") == {"uses_h", "a.two", "b"}
    assert found("uses_k") == {"uses_k", "a", "a.one", "a.two", "b"}
    assert found("round") == {"round", "uses_f", "a.one"}
