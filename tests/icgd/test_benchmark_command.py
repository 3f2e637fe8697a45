"""`icgd benchmark-set`: what it writes, how it judges a claim, and its exit codes."""

import pytest

from icgd import cli
from icgd.verify.benchmark_set import writing
from tests.closed_schemas import as_documented


def command(capsys, *arguments):
    code = cli.main(["benchmark-set", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def small(monkeypatch):
    """One network instead of seven."""
    whole = writing.write_benchmark_set
    monkeypatch.setattr(
        "icgd.benchmark_command.write_benchmark_set",
        lambda out, progress: whole(out, ["tiny"], progress),
    )


def test_the_set_is_written_and_claims_are_judged(capsys, tmp_path, small):
    out = ["--out", str(tmp_path / "set")]
    code, printed, _ = command(capsys, *out, "--json", str(tmp_path / "written.json"))
    assert code == cli.KEPT and "7 instances: 3 unsat, proved by certificate, and 4 sat" in printed
    as_documented("benchmark-set", (tmp_path / "written.json").read_text("utf-8"))
    spike = str(tmp_path / "set" / "counterexamples" / "tiny-spike-query.txt")
    judged = ["--judge", spike, "--instance"]
    code, printed, _ = command(capsys, *out, *judged, "tiny-spike-query", "--json", "-")
    found = as_documented("benchmark-set", printed)
    assert code == cli.KEPT and found["counterexample"] and found["over_reals"] and found["answer"] == "sat"
    assert found["computed"] == [pytest.approx(0.05, abs=1e-9)] and "0.04999999" in found["exact"][0]
    code, printed, _ = command(capsys, *out, *judged, "tiny-whole")
    assert code == cli.FAILED and "tiny-whole: no counterexample: the output keeps the property" in printed
    # A proof that is wrong would be said aloud.
    known = tmp_path / "set" / "known.json"
    known.write_text(known.read_text("utf-8").replace('"sat"', '"unsat"'), encoding="utf-8")
    code, printed, _ = command(capsys, *out, *judged, "tiny-spike-query")
    assert code == cli.KEPT and "the proof or this judge is wrong" in printed
    for arguments, said in (
        (["--judge", spike], "--judge CLAIM and --instance NAME go together"),
        (["--instance", "tiny-whole"], "--judge CLAIM and --instance NAME go together"),
        ([*judged, "none"], "instance = none: the instances are tiny-whole"),
        (["--judge", str(known), "--instance", "tiny-whole"], "4 values of X are needed"),
    ):
        code, printed, err = command(capsys, *out, *arguments)
        assert code == cli.BAD_INPUT and said in err and len(err.splitlines()) == 1 and not printed
    code, _, err = command(capsys, "--out", str(tmp_path), *judged, "tiny-whole")
    assert code == cli.BAD_INPUT and "there is no such file" in err


def test_a_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    code, _, err = command(capsys, "--out", str(tmp_path / "file"))
    assert code == cli.BAD_INPUT and "it is not a folder" in err
