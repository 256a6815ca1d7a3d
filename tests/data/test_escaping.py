"""Nothing from a file reaches the terminal unescaped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.escaping import close_to, escape, listed, shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, «quoted» été 数字 🙂", "plain, «quoted» été 数字 🙂"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028\u200b\ud800", r"\u2028\u200b\ud800"),
        ("\x07\x7f\0", r"\x07\x7f\x00"),
    ],
)
def test_escape(text, escaped):
    assert escape(text) == escaped


@given(st.text(st.characters()))
def test_escaped_text_prints_and_stays(text):
    once = escape(text)
    assert once.isprintable()
    assert escape(once) == once
    once.encode()


def test_shown_is_short():
    assert shown("x" * 1000) == "'" + "x" * 37 + "...'"
    assert shown("\n" * 10) == "'" + r"\n" * 10 + "'"


def test_listed():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed([str(i) for i in range(10)], limit=2) == "'0', '1' and 8 more"


def test_close_to():
    assert close_to("AGE", ["sex", "age"]) == " (did you mean 'age'?)"
    assert close_to("heigt", ["height"]) == " (did you mean 'height'?)"
    assert close_to("zzz", ["height"]) == ""
