"""`--data` on the command line: every command of docs/data.md, and what terminal, JSON and reports say."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from icgd import cli, commands
from icgd.verify.data.layout import Layout
from icgd.verify.search.options import BRIEF
from tests.numpy_layers import layers_by_hand

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
QUICK = ["--samples", "100", "--effort", "0", "--L", "2", "--n", "3", "--K", "1", "--N", "1"]


@pytest.fixture
def houses(tmp_path, monkeypatch):
    (text,) = re.findall(r"```csv\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "houses.csv").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), captured.err


def test_the_commands_of_the_page_run_and_its_words_are_those_of_the_layout(capsys, houses):
    lines = re.findall(r"^    icgd ([a-z].*?)(?: +# exit code (\d))?$", PAGE, flags=re.MULTILINE)
    assert len(lines) == 3
    for line, told in lines:
        code, out, err = run(capsys, *shlex.split(line))
        assert code == int(told or cli.KEPT), (line, out, err)
        if told:
            assert " ".join(err.split()) in " ".join(PAGE.split()) and err.count("\n") == 1
            continue
        for words in (
            "Errors on rows of houses.csv",
            "root mean square over 64 prompts",
            "the units of price",
        ):
            assert words in out, (line, words)
        assert "houses.csv: inputs" in err and ("1 of 14 left out" in out) == ("built" in line)
    data = json.loads((houses / "houses.json").read_text(encoding="utf-8"))["data"]
    assert (data["rows"], data["dropped"], data["used"], data["examples"]) == (14, 0, 14, 8)
    assert [one["name"] for one in data["columns"]] == ["rooms", "price"] and len(data["sha256"]) == 64
    assert data["columns"][1]["largest"] == 455_000 and data["chosen"] == []
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(block, {})
    assert "13 rows (1 of 14 left out" in capsys.readouterr().out
    words = re.findall(
        r"^\| `(\w+)[`=]", PAGE.split("named as in pandas")[1].split("icgd verify")[0], flags=re.M
    )
    assert words == [one.name for one in fields(Layout)]


def test_what_nobody_chose_is_said_before_and_doubts_are_said_after(capsys, houses):
    rows = [f"{k};{k % 3},5;7;{2 * k}" for k in range(30)]
    (houses / "odd.csv").write_text("number;part;same;double\n" + "\n".join(rows), encoding="utf-8")
    options = ["--data", "odd.csv", "--table", "decimal=,", "--prompts", "3", *QUICK, "--d", "3"]
    code, out, err = run(capsys, "verify", "relu-icgd", *options)
    assert code == cli.KEPT
    assert err.startswith(
        "odd.csv: inputs 'number', 'part', 'same', targets 'double'\n"
        "no targets were named: 'double' was taken\n"
        "no inputs were named: 'number', 'part', 'same' were taken, the first 3 of 3 columns with numbers"
    )
    for words in (
        "warning: constant columns, which become 0 in every prompt: 1 ('same')",
        "warning: the target 'double' is the input 'number' times a number plus a number, in all 30 rows",
        "Data: odd.csv",
        "no targets were named: 'double' was taken",
    ):
        assert words in out, words


def test_an_empty_name_and_options_without_data_are_refused(capsys, houses):
    for options, words in (
        (["--data", ""], "a value is needed, and it is empty"),
        (["--data", "houses.csv", "--table", "decimals=,"], "table = decimals: there is no such word"),
        (["--table", "decimal=,"], "it is about --data, which is missing"),
        (["--inputs", "rooms", "--inputs", "built"], "inputs = rooms, built: it is about --data"),
        (["--data", "https://example.org/a.csv"], "only files on this machine are read"),
    ):
        code, out, err = run(capsys, "verify", "looped", *options)
        assert (code, out) == (cli.BAD_INPUT, "") and words in err and err.count("\n") == 1, err


def test_a_judged_block_takes_rows_and_tells_of_them(capsys, houses):
    tensors, metadata = layers_by_hand(N=1, K=1)
    save_file(tensors, houses / "model.safetensors", metadata)
    posed = json.loads(metadata["problem"])
    names = ["rooms", "built", "size, m2"][: posed["d"]]
    table = ["--data", "houses.csv", "--table", "decimal=, thousands=. dropna", "--json", "-"]
    options = [*table, *(word for name in names for word in ("--inputs", name)), "--targets", "price"]
    assert posed["d_out"] == 1
    code, out, _ = run(capsys, "judge", "model.safetensors", "--samples", "50", "--effort", "0", *options)
    found = json.loads(out)
    assert code == cli.KEPT and [one["name"] for one in found["data"]["columns"]] == [*names, "price"]
    assert "64 of houses.csv" in found["verdicts"][0]["evidence"]
    code, _, err = run(capsys, "judge", "model.safetensors", "--inputs", "rooms")
    assert code == cli.BAD_INPUT and "it is about --data, which is missing" in err


def test_a_report_asks_no_theorem_for_a_search_that_it_does_not_make(capsys, houses, monkeypatch):
    """Without options, `icgd report` searches less than `icgd audit`, where there is something to search."""
    seen = []
    table = ["--data", "houses.csv", "--table", "decimal=, thousands=.", "--inputs", "rooms", "--n", "8"]

    def asked(about, letters, search, **_):
        seen.append(search)
        raise InterruptedError  # what follows takes long

    with monkeypatch.context() as patch:
        patch.setattr(commands, "verify_one", asked)
        for theorem in ("looped", "relu-icgd"):
            with pytest.raises(InterruptedError):
                commands.report_command({}, theorem)
    assert [one.given for one in seen] == [{}, BRIEF]
    code, _, err = run(capsys, "report", "looped", *table, "--samples", "5")
    assert code == cli.BAD_INPUT and "samples = 5: looped has no such option" in err
