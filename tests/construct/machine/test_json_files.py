"""JSON files: bad ones are refused in one sentence, and written ones are valid for every JSON reader."""

import json
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.construct.machine import json_files as json_file
from icgd.construct.machine.json_files import finite, json_text, load_json


def refused(path):
    with pytest.raises(ProblemError) as caught:
        load_json(path, "certificate")
    assert str(caught.value).startswith("certificate = ") and caught.value.__suppress_context__ in (
        True,
        False,
    )
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a":\n}', "not a JSON file (line 2, column 1)"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' twice"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "1e999 is larger than any float"),
        (b"[" * 41 + b"]" * 41, "nested more than 40 levels deep"),
        (b'{"]]]]]": ' * 41 + b"1" + b"}" * 41, "nested more than 40 levels deep"),
        (b"[" * 10**5, "not a JSON file"),
        (b"9" * 10**4, "not a JSON file"),
        (b'"\xff"', "not text in UTF-8"),
        (b'{"a": ["\\ud800"]}', "half a character"),
        (b'{"\\uDfff": 1}', "half a character"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, data, words):
    (tmp_path / "a.json").write_bytes(data)
    assert words in refused(tmp_path / "a.json")


def test_brackets_in_texts_are_no_levels(tmp_path):
    held = ["[[{" * 50 + '\\"[', {"a\\": [0.5, 10**400]}]
    (tmp_path / "a.json").write_text(json.dumps(held))
    assert load_json(str(tmp_path / "a.json"), "certificate") == held


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refused(tmp_path / "pipe")
    assert "a folder" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "missing")
    if os.path.exists("/dev/zero"):
        assert "a device" in refused("/dev/zero")


def test_no_more_is_read_than_the_sentence_says(tmp_path, monkeypatch):
    monkeypatch.setattr(json_file, "MOST_BYTES", 2**20)
    path = tmp_path / "long.json"
    path.write_text('"' + "a" * (2**20 - 2) + '"')
    assert len(load_json(path, "certificate")) == 2**20 - 2
    path.write_text('"' + "a" * (2**20 - 1) + '"')
    assert "larger than 1 MiB" in refused(path)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(plain)
def test_a_document_is_read_back_with_words_for_what_is_no_number(value):
    def strictly(word):
        raise AssertionError(word)

    text = json_text(value)
    found = json.loads(text, parse_constant=strictly)
    assert text.isascii() and found == finite(value) == finite(found)
    json.dumps(found, ensure_ascii=False).encode()  # whole characters alone


def test_a_name_that_is_no_text_is_read_back():
    assert json.loads(json_text({"caf\udce9": ["\ud800", "\U0001f600"]})) == {
        r"caf\udce9": [r"\ud800", "\U0001f600"]
    }


def test_numbers_of_other_libraries_are_numbers():
    held = {3: (np.int64(2), np.float64("nan"), Fraction(1, 2)), "a": float("-inf")}
    assert json_text(held) == '{"3": [2, "nan", 0.5], "a": "-inf"}'
