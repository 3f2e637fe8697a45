"""Claimed counterexamples: both formats, what is refused, and what is none."""

import numpy as np
import pytest

from icgd.bounds.letters import ProblemError
from icgd.verify.benchmark_set.claims import claim_text, judge_claim, read_claim
from icgd.verify.benchmark_set.property_text import DeclaredTensor, read_property
from icgd.verify.benchmark_set.writing import known_instance, network_path, property_path

GIVEN = DeclaredTensor("X", "float64", (1, 3))


def claimed(tmp_path, text):
    (tmp_path / "claim.txt").write_text(text, encoding="utf-8")
    return tmp_path / "claim.txt"


def test_both_formats_are_read(tmp_path):
    x = np.array([[0.1, -2e-7, 3.0]])
    for text in (
        claim_text(x, np.zeros((1, 2))),
        "sat\n((X_2 3)(X_1 -2e-7) ( X_0 0.1 )\n (Y_0 7))",
        "; from (a tool)\nsat\n((X_0 1e-1) (X_1 -.2e-6) (X_2 +3.))",
        "; from (a tool)\nX float64 [1, 3] ; (x)\n0.1\n-2E-7\n3\nE float64 [1,2]\n0.5\n0.25\n",
        "sat\nX float64 [1,3]\n0.1\n-0.0000002\n3.0\nE float64 [1,2]\n0.5\n0.25\n",
    ):
        assert np.array_equal(read_claim(claimed(tmp_path, text), GIVEN), x)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("((X_0 1) (X_1 2))", "it has 2; 3 values of X are needed"),
        ("((X_0 1) (X_1 2) (X_1 3))", "X_0, X_1, ... are needed, once each"),
        ("((X_0 1) (X_1 1e999) (X_2 3))", "every value must be a finite number"),
        ("((X_0 1) (X_1 nan) (X_2 3))", "nan is no decimal number, such as -0.5 or 2e-7"),
        ("((X_0 1) (X_1 1_0) (X_2 3))", "1_0 is no decimal number"),
        ("X float64 [1,3]\n1\n\u0661\n3", "\u0661 is no decimal number"),
        ("((X_0 1) (X_\u0661 2) (X_2 3))", "X_0, X_1, ... are needed, once each"),
        ("", "it has 0; 3 values of X are needed"),
        ("unsat", "it begins with unsat; a counterexample begins with sat"),
        ("; a comment\ntimeout\n((X_0 1) (X_1 2) (X_2 3))", "it begins with timeout"),
        ("timeout after 3 s ((X_0 1) (X_1 2) (X_2 3))", "it begins with timeout"),
        ("unsat ((X_0 1) (X_1 2) (X_2 3))", "it begins with unsat"),
        ("unknown\nX float64 [1,3]\n1\n2\n3\n", "it begins with unknown"),
        ("X real [1,3]\n1\n2\n3\n", r"it declares X real \[1,3\]; the property has float64 \[1,3\]"),
        ("X float64 [3, 1]\n1\n2\n3\n", r"it declares X float64 \[3,1\]; the property has float64"),
        ("((X_0 1) (X_1 2) (X_2 3))" + " " * (1 << 20), "it is longer than 1 MiB"),
        ("Y float64 [1,3]\n1\n2\n3\n", "it has 0"),
    ],
)
def test_other_files_are_refused(text, said, tmp_path):
    with pytest.raises(ProblemError, match=f"claim = .*{said}"):
        read_claim(claimed(tmp_path, text), GIVEN)


def test_what_is_a_counterexample_and_what_is_none(tiny_set, tmp_path):
    folder, _ = tiny_set

    def judged(claim, instance):
        network = network_path(folder, known_instance(folder, instance)["network"])
        return judge_claim(network, property_path(folder, instance), claim)

    examples = folder / "counterexamples"
    spike = judged(examples / "tiny-spike-query.txt", "tiny-spike-query")
    assert spike.accepted and spike.inside and spike.in_floats and spike.over_reals is True
    assert float(spike.exact[0, 0]) == pytest.approx(spike.computed[0, 0], abs=1e-12)
    only = judged(examples / "tiny-float-only.txt", "tiny-float-only")
    assert only.accepted and only.in_floats and only.over_reals is False
    assert "in float64, not over the reals; the property is about float64" in only.said
    real = judged(examples / "tiny-float-only.txt", "tiny-float-only-real")
    assert not real.accepted and real.in_floats
    assert real.said.startswith("no counterexample: in float64, not over the reals")
    true = judged(examples / "tiny-false.txt", "tiny-whole")
    assert not true.accepted and true.said == "no counterexample: the output keeps the property"
    beside = judged(examples / "tiny-spike-query.txt", "tiny-near")
    assert not beside.accepted and "the input is outside" in beside.said
    text = (examples / "tiny-spike-query.txt").read_text("utf-8").replace("0.123", "0.123000002")
    assert not judged(claimed(tmp_path, text), "tiny-spike-query").accepted
    text = (examples / "tiny-spike-query.txt").read_text("utf-8").replace("(X_0 0.0)", "(X_0 1.01)")
    outside = judged(claimed(tmp_path, text), "tiny-spike-query")
    assert outside.in_floats is False and not outside.inside and not outside.accepted


def test_networks_that_do_not_run_are_refused(tiny_set, tmp_path):
    folder, _ = tiny_set
    about = property_path(folder, "tiny-whole")
    claim = folder / "counterexamples" / "tiny-false.txt"
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(ProblemError, match="onnxruntime does not run it"):
        judge_claim(tmp_path / "x.onnx", about, claim)
    with pytest.raises(ProblemError, match="there is no such file"):
        judge_claim(tmp_path / "none.onnx", about, claim)
    assert read_property(about).given.shape == (1, 4)
