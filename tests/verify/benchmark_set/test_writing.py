"""The set as written: its answers are those of the certificates, its counterexamples are counterexamples."""

import csv
import dataclasses
import json
import re
from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
import vnnlib

from icgd.bounds.letters import ProblemError
from icgd.verify.benchmark_set import certified_networks
from icgd.verify.benchmark_set.certified_networks import CertifiedNetwork
from icgd.verify.benchmark_set.instances import instances
from icgd.verify.benchmark_set.property_text import read_property
from icgd.verify.benchmark_set.writing import (
    known_instance,
    network_path,
    property_path,
    write_benchmark_set,
)
from icgd.verify.certificate.issue import load_certificate, posed_letters
from icgd.verify.certificate.proof import refusal
from icgd.verify.checker.lemmas import Refused


def thresholds(claim):
    """The numbers in the last claim of a property."""
    if isinstance(claim, str):
        return [] if "[" in claim or claim in "or and >= <= + * -" else [Fraction(claim)]
    return [value for part in claim[1:] for value in thresholds(part)]


def assert_kept_by_random_inputs(folder, known, count):
    """What is proved of the output holds on random inputs and corners of the domain."""
    about, generator = read_property(property_path(folder, known["name"])), np.random.default_rng(1)
    limit = [[float(value) for value in thresholds(one)] for one in about.domain]
    low, high = (np.array([one[0] for one in limit[at::2][: about.given.shape[1]]]) for at in (0, 1))
    run = onnxruntime.InferenceSession(network_path(folder, known["network"]))
    for index in range(count):
        x = generator.uniform(low, high) if index % 2 else generator.choice([low, high])
        x = np.where(generator.random(len(low)) < 0.3, generator.choice([low, high]), x)[None]
        values = {"X": x, "E": run.run(None, {"X": x})[0]}
        assert about.holds(about.claims, values) is False, (known["name"], x)


def assert_set_is_right(folder, known):
    listed = list(csv.reader((folder / "instances.csv").read_text("utf-8").splitlines()))
    assert [(network, text) for network, text, _ in listed] == [
        (f"networks/{one['network']}.onnx", f"properties/{one['name']}.vnnlib") for one in known["instances"]
    ]
    assert json.loads((folder / "known.json").read_text("utf-8")) == known
    for one in known["instances"]:
        path = property_path(folder, one["name"])
        vnnlib.parse_query_file(str(path))
        about, of = read_property(path), one["network"].partition("-spike")[0].partition("-float")[0]
        assert about.given.kind == one["type"]
        bound, least = known["networks"][of]["bound"], max(thresholds(about.claims[-1]))
        example = (folder / "counterexamples" / f"{one['name']}.txt").exists()
        assert example == (one["answer"] == "sat")
        for stated in re.findall(r"norm2\(err\) <= (\S+) by", one["why"]):
            assert f"norm2(err) <= {stated} by" in path.read_text("utf-8")
            certified = load_certificate(folder / "certificates" / f"{of}.json")["certified"]
            eta = Fraction(known["networks"][of]["problem"]["eta"])
            assert 0 < Fraction(stated) - eta * Fraction(certified) < Fraction(stated) / 10**8
        if one["answer"] == "unsat":
            assert least > Fraction(bound) ** (2 if one["name"].endswith("norm") else 1)
            if one["type"] == "float64":
                assert_kept_by_random_inputs(folder, one, 20)
        elif one["name"].endswith("false"):
            assert least < known["networks"][of]["found"] < bound


def test_the_set_about_one_network(tiny_set, tiny):
    folder, known = tiny_set
    assert [(one["name"], one["answer"]) for one in known["instances"]] == [
        ("tiny-whole", "unsat"),
        ("tiny-near", "unsat"),
        ("tiny-false", "sat"),
        ("tiny-spike-query", "sat"),
        ("tiny-spike-weight", "sat"),
        ("tiny-float-only", "sat"),
        ("tiny-float-only-real", "unsat"),
    ]
    assert_set_is_right(folder, known)
    found = load_certificate(folder / "certificates" / "tiny.json")
    assert refusal(found, posed_letters(tiny.stated), "lean") is None
    about = known["networks"]["tiny"]
    eta = tiny.stated.eta
    assert 0.8 < about["found"] / about["bound"] < 1 and about["bound"] >= eta * found["certified"]
    assert about["bound"] <= eta * found["certified"] * (1 + 1e-9)
    assert known_instance(folder, "tiny-near")["answer"] == "unsat"
    with pytest.raises(ProblemError, match="instance = none: the instances are tiny-whole, tiny-near"):
        known_instance(folder, "none")


def test_an_answer_that_is_not_known_is_not_written(tiny, tmp_path, monkeypatch):
    kept = dict(tiny.certificate)
    forged = {**kept, "certified": kept["certified"] * 0.99}
    entry = dataclasses.replace(certified_networks.CONSTRUCTIONS["lean"], issue=lambda plan: forged)
    monkeypatch.setattr(certified_networks, "CONSTRUCTIONS", {"lean": entry})
    with pytest.raises(Refused):
        write_benchmark_set(tmp_path / "set", ["tiny"])
    monkeypatch.undo()
    # A search that finds nothing makes a false property true: no counterexample, no set.
    doubled = dataclasses.replace(tiny)
    monkeypatch.setattr(CertifiedNetwork, "largest_entry", lambda self, x: 2 * tiny.bound)
    monkeypatch.setattr(CertifiedNetwork, "make", lambda name: doubled)
    with pytest.raises(ProblemError, match="counterexample = tiny-false: it is not one here"):
        write_benchmark_set(tmp_path / "set", ["tiny"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_all_thirty_instances(tmp_path):
    known = write_benchmark_set(tmp_path / "set")
    answers = [one["answer"] for one in known["instances"]]
    assert (len(answers), answers.count("unsat"), answers.count("sat")) == (30, 17, 13)
    assert len({one["name"] for one in known["instances"]}) == 30
    assert_set_is_right(tmp_path / "set", known)
    again = write_benchmark_set(tmp_path / "again")
    assert again == known  # the same networks, byte for byte


def test_ends_of_the_domain_are_within_the_radii(tiny):
    assert (np.abs(tiny.ends()) <= 1).all() and tiny.ends()[3] < 1
    tiny.prompt(np.stack([tiny.ends(), -tiny.ends()])).check(tiny.problem)
    assert len(list(instances({"tiny": tiny}))) == 7
