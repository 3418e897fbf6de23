import re
from collections import Counter
from itertools import groupby

from sslcourse.talk import Statement, statements


def test_every_field_is_filled():
    for one in statements():
        assert isinstance(one, Statement) and isinstance(one.unjudged, str)
        for text in (one.section, one.says):
            assert text and text == text.strip(), one.id
        assert one.says.endswith(".") and "\n" not in one.says, one.id
        assert one.lessons and len(set(one.lessons)) == len(one.lessons), one.id
        assert all(re.fullmatch("0[0-9]|1[0-4]", lesson) for lesson in one.lessons), one.id


def test_ids_are_a_slug_and_a_number_that_counts_in_order():
    seen = Counter()
    for one in statements():
        found = re.fullmatch(r"([a-z]+(?:-[a-z]+)*)\.([1-9][0-9]*)", one.id)
        assert found, one.id
        seen[found[1]] += 1
        assert int(found[2]) == seen[found[1]], one.id
    assert len({one.id for one in statements()}) == len(statements())
    assert len({one.says for one in statements()}) == len(statements())


def test_a_section_is_one_stretch_with_one_slug():
    stretches = [
        (section, {one.id.split(".")[0] for one in group})
        for section, group in groupby(statements(), key=lambda one: one.section)
    ]
    sections = [section for section, _ in stretches]
    slugs = [slug for _, slugs in stretches for slug in slugs]
    assert len(set(sections)) == len(sections)
    assert len(slugs) == len(set(slugs)) == len(sections)


def test_an_unjudged_statement_says_why():
    reasons = [one.unjudged for one in statements() if one.unjudged]
    assert reasons and all(reason == reason.strip() for reason in reasons)
    assert len(reasons) < len(statements()) / 5


def test_read_once_and_kept():
    assert statements() is statements()
