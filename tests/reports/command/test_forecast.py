"""Commands print an estimate before they start, and refuse what is too large."""

import pytest

from icgd import cli
from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.problem import Problem
from icgd.construct.machine import memory
from icgd.reports.command.forecast import announce, bounding, checking, everything, settling, verifying
from icgd.verify.catalogue import find_theorem, theorems
from icgd.verify.ledger.entries import entries
from icgd.verify.requests import all_requests
from icgd.verify.search.options import Search

RELU = find_theorem("relu-icgd")


def test_seconds_are_not_worth_a_line_and_minutes_are(capsys):
    announce(Estimate((Stage("plan", 4.0),)))
    assert capsys.readouterr() == ("", "")
    announce(Estimate((Stage("plan", 4.0), Stage("sweep", 300.0))))
    said = capsys.readouterr()
    assert said.out == "" and said.err == "about 5 min: sweep 5 min\n"


REFUSED = [
    ("bounds --N 1000000", "N = 1000000: "),
    ("build --N 1000000", "N = 1000000: "),
    ("verify --samples 99999999999", "samples = 99999999999: sweep would take"),
    ("audit relu-icgd --samples 99999999999", "samples = 99999999999: sweep would take"),
    ("verify --data diabetes --prompts 99999999", "prompts = 99999999: steps would take about"),
    ("verify --effort 1000 --K 64 --d 64", "effort = 1000.0: "),
    ("report --n 1000000 --d 10000 --K 1 --N 1 --d_out 1 --effort 0", "n = 1000000: steps would take about"),
]


@pytest.mark.parametrize(("command", "words"), REFUSED, ids=[command for command, _ in REFUSED])
def test_what_is_too_much_is_one_sentence(monkeypatch, tmp_path, capsys, command, words):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**34)
    out = [] if command.split()[0] in ("bounds", "build") else ["--out", str(tmp_path)]
    assert cli.main([*command.split(), *out]) == cli.BAD_INPUT
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"icgd: {words}") and "; lower " in said.err


def test_every_theorem_is_part_of_the_whole():
    parts = everything(all_requests({}), Search())
    assert list(parts)[:2] == ["relu-icgd/lean", "relu-icgd/paper"]
    assert {name.partition("/")[0] for name in parts} == {*theorems(), "findings"}
    assert sum(stage.name == "start" for part in parts.values() for stage in part.stages) == 1
    assert settling(entries()[:1]).seconds < settling(entries()).seconds
    assert settling(entries(), begun=True).stages == parts["findings"].stages
    data = Search(data="diabetes", prompts=10**6)
    fewer, more = (verifying(RELU, Problem(), search) for search in (Search(), data))
    assert fewer.bytes < more.bytes


def test_a_check_is_as_long_as_its_certificate():
    empty = checking(RELU, {}, Problem()).seconds
    assert empty == checking(RELU, {"splits": 3, "program": [None, {"constant": 1}]}, Problem()).seconds
    unit = {"a": [1.0] * 100_000, "b": [], "c": [], "constant": 0.0}
    for once, twice in (
        ({"splits": [0] * 60_000}, {"splits": [0] * 120_000}),
        ({"program": {"loss": {"relus": unit}}}, {"program": [{"relus": unit}, {"relus": unit}]}),
    ):
        more, most = (checking(RELU, one, Problem()).seconds - empty for one in (once, twice))
        assert more > 0 and most == pytest.approx(2 * more)
    looped = find_theorem("looped")
    assert bounding(looped, looped.letters()).seconds < bounding(RELU, Problem()).seconds
