"""What every method's docstring must say, so that it can be read beside its paper."""

import inspect
import io
import re
import tokenize

import pytest

from sslcourse.methods import METHODS, Method

HOOKED = [name for name in METHODS if METHODS[name].after_step is not Method.after_step]


def doc(name: str) -> str:
    """The docstring of the class itself, for a class does not inherit it, without its indentation."""
    return inspect.cleandoc(METHODS[name].__doc__ or "")


def paragraph(text: str, heading: str) -> str:
    """What stands under a heading, up to the next heading or empty line, on one line; "" if it stands nowhere."""
    found = re.search(rf"^{heading} (\S.*?)(?=\n\n|\nSymbols:|\nDiffers:|\nA step:|\Z)", text, re.M | re.S)
    return " ".join(found[1].split()) if found else ""


def names(method: type[Method]) -> set[str]:
    """Every name in the code of a method's file and of those of the methods it builds on; no text, no comment."""
    modules = {inspect.getmodule(cls) for cls in method.__mro__ if issubclass(cls, Method)}
    code = (tokenize.generate_tokens(io.StringIO(inspect.getsource(m)).readline) for m in modules)
    return {token.string for tokens in code for token in tokens if token.type == tokenize.NAME}


@pytest.mark.parametrize("name", METHODS)
def test_says_what_is_kept_what_the_symbols_are_and_what_differs(name):
    assert "`kept`" in doc(name)
    for heading in ("Symbols:", "Differs:"):
        assert paragraph(doc(name), heading) and doc(name).count(heading) == 1, heading
    assert max(map(len, doc(name).splitlines())) <= 118 - 4


@pytest.mark.parametrize("name", METHODS)
def test_its_symbols_are_mapped_to_names_that_exist(name):
    symbols = paragraph(doc(name), "Symbols:")
    assert "the paper's" in symbols or "->" in symbols
    quoted = " ".join(re.findall(r"`(.+?)`", symbols))
    mapped = re.findall(r"(?<![.\w])[A-Za-z_]\w*", quoted)  # of `bank.rows` the bank: rows are another file's
    assert set(mapped) <= names(METHODS[name])


@pytest.mark.parametrize("name", HOOKED)
def test_says_in_which_order_a_step_goes_where_hooks_hide_it(name):
    assert 0 < len(paragraph(doc(name), "A step:")) <= 4 * 118
