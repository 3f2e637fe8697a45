"""Printable text: control sequences are removed, and readable characters stay."""

from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import as_written, printable

HARM = "\x1b[31m\x9b2J\r\n\t\x07\u202e\u200b\ud800\u2028"


@given(st.text(st.characters(codec=None)))
def test_every_sign_left_is_one_on_the_page(text):
    shown = printable(text)
    assert shown.isprintable() and printable(shown) == shown
    assert shown == text or not text.isprintable()


def test_no_sentence_of_a_refusal_is_obeyed():
    error = str(ProblemError("activation", HARM, f"there is no {HARM}"))
    assert error.isprintable() and r"\x1b[31m" in error and r"\ud800" in error


@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1.0, 1.0))
def test_a_number_is_written_exactly_and_no_longer_than_python_does(value):
    written = as_written(value)
    assert float(written) == value and len(written) <= len(repr(value))
    assert not written.endswith(".0") and "+" not in written
