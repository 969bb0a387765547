"""What a page shares with the text that its writer learned from."""

import re

import numpy as np
import pytest

from helpers.audit import CopyAudit


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("span", [1, 2, 3, 5])
def test_an_audit_equals_comparing_every_place_with_every_other(random_text, span):
    rng, lengths = np.random.default_rng(span), set()
    for _ in range(300):
        source, page = (random_text("aaab \n", rng.integers(0, 15), rng) for _ in range(2))
        audit, plain, text = CopyAudit(source, span), one_line(source), one_line(page)
        # All pieces, of which the first begins first.
        pieces = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
        longest = max((piece for piece in pieces if piece in plain), key=len, default="")
        assert audit.longest(page) == longest
        lengths.add(len(longest) - span)
        spans = [text[i : i + span] for i in range(len(text) - span + 1)]
        if spans:
            assert audit.share(page) == pytest.approx(np.mean([piece in plain for piece in spans]))
        else:
            with pytest.raises(ValueError, match=f"has no span of {span}"):
                audit.share(page)
    assert min(lengths) < 0 < max(lengths)  # shorter than a span, and longer


def test_line_breaks_count_as_spaces_on_both_sides():
    source = "I am all in a sea of wonders. I doubt; I fear."
    page = "He was all in a sea of wonders, and why not?"
    for blank in ("\n", " \n\n  "):
        broken_source, broken_page = (text.replace(" ", blank) + "\n" for text in (source, page))
        for audit, text in ((CopyAudit(broken_source), page), (CopyAudit(source), broken_page)):
            assert audit.longest(text) == " all in a sea of wonders"
            assert audit.share(text) == pytest.approx(5 / 25)


def test_an_audit_of_a_copy(random_text):
    text = random_text("abcdefgh ", 500)
    audit = CopyAudit(text)
    assert audit.share(text) == audit.share(text[100:300]) == 1
    assert audit.longest(text[100:300]) == one_line(text[100:300])
    assert audit.longest(text[50:60].strip()) == one_line(text[50:60])  # shorter than a span


def test_an_audit_of_nothing(random_text):
    text = random_text("abcdefgh ", 500)
    audit = CopyAudit(text)
    assert audit.share("XYZ" * 20) == 0
    assert audit.longest("XYZ" * 20) == audit.longest("") == audit.longest("\n") == ""
    assert CopyAudit("").longest(text) == ""
    assert CopyAudit("").share(text) == 0 == CopyAudit("short").share(text)
    for short, length in {
        "": 0,
        "\n" * 30: 0,
        "one \n\n line" + "\n" * 20: 8,
        "x" * 19: 19,
    }.items():
        with pytest.raises(ValueError, match=f"text of {length} characters has no span of 20"):
            audit.share(short)


def test_an_audit_of_given_pages_finds_in_them_what_a_full_audit_finds(random_text):
    source = random_text("abc  \n", 4000)
    pages = [source[100:180], "abc " * 30, source[9:60]]
    whole, only = CopyAudit(source, span=8), CopyAudit(source, span=8, pages=pages)
    assert [only.share(page) for page in pages] == [whole.share(page) for page in pages]
    assert [only.longest(page) for page in pages] == [whole.longest(page) for page in pages]
    assert len(only._spans) < len(whole._spans)
    with pytest.raises(ValueError, match="not one of those"):
        only.share("another page altogether")
