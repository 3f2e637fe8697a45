"""`icgd benchmark-set`: what it writes, how it judges a claim, and its exit codes."""

from pathlib import Path

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
    # A claim and the set itself are never written over.
    near, written = tmp_path / "set" / "properties" / "tiny-near.vnnlib", (tmp_path / "set").rglob("*.*")
    claim = tmp_path / "claim.txt"
    claim.write_bytes(Path(spike).read_bytes())
    held = {path: path.read_bytes() for path in [claim, *written]}
    network = tmp_path / "set" / "networks" / "tiny.onnx"
    for path, said in (
        (claim, "it is the file of judge, which would be lost"),
        (known, "a file of this name is written there by the command itself"),
        (network, "a file of this name is written there by the command itself"),
    ):
        about = ["--judge", str(claim), "--instance", "tiny-whole", "--json", str(path)]
        code, _, err = command(capsys, *out, *about)
        assert code == cli.BAD_INPUT and said in err and len(err.splitlines()) == 1
    assert held == {path: path.read_bytes() for path in held}
    # Nothing is known of other networks or properties.
    for path in (near, network):
        path.write_bytes(path.read_bytes() + b"\n")
        code, printed, err = command(capsys, *out, *judged, "tiny-near")
        assert code == cli.BAD_INPUT and not printed and "its sha256 is not the one in known.json" in err
        path.write_bytes(held[path])
    code, _, err = command(capsys, "--out", "/proc/made")
    assert (
        code == cli.BAD_INPUT
        and "out = /proc/made: it cannot be written: no file can be made in /proc" in err
    )
    for arguments, said in (
        (["--judge", spike], "--judge CLAIM and --instance NAME go together"),
        (["--instance", "tiny-whole"], "--judge CLAIM and --instance NAME go together"),
        ([*judged, "none"], "instance = none: the instances are tiny-whole"),
        (["--judge", str(known), "--instance", "tiny-whole"], "4 values of X are needed"),
    ):
        code, printed, err = command(capsys, *out, *arguments)
        assert code == cli.BAD_INPUT and said in err and len(err.splitlines()) == 1 and not printed
    known.write_text(known.read_text("utf-8").replace("property_sha256", "other"), encoding="utf-8")
    code, _, err = command(capsys, *out, *judged, "tiny-whole")
    assert code == cli.BAD_INPUT and "its known.json is not one that this icgd benchmark-set wrote" in err
    code, _, err = command(capsys, "--out", str(tmp_path), *judged, "tiny-whole")
    assert code == cli.BAD_INPUT and "there is no such file" in err


def test_a_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    code, _, err = command(capsys, "--out", str(tmp_path / "file"))
    assert code == cli.BAD_INPUT and "it is not a folder" in err
