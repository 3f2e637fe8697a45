"""The Coq export: its numbers, that coqc accepts it, and that damaged exports are refused."""

import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.verify.certificate.issue import certificate
from icgd.verify.checker.matrices import Computed, expected
from icgd.verify.checker.program import layout
from icgd.verify.coq import run as coqc
from icgd.verify.coq.export import FLOATS, SLOPES, STATIC, THEORY, Instance, export, root
from icgd.verify.coq.run import WAVES, _compile, axioms, run

needs_coq = pytest.mark.needs("coqc")
SMALL = {"N": 1, "K": 1, "d": 1, "eps": 0.2}
PAIRS = [(loss, output) for loss in SLOPES for output in ("activated", "linear")]
AXIOMS = {
    "ClassicalDedekindReals.sig_forall_dec",
    "ClassicalDedekindReals.sig_not_dec",
    "Classical_Prop.classic",
    "FunctionalExtensionality.functional_extensionality_dep",
}
"""The axioms of the reals; besides them, those of Coq's 63-bit integers and floats."""


def certified(construction: str = "lean", **letters: Any) -> dict[str, Any]:
    return certificate(plan(Problem.parse(SMALL | letters), construction))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder with a small certificate that coqc has seen, its certificate and the report."""
    made, folder = certified(), tmp_path_factory.mktemp("coq")
    export(made, folder)
    return made, folder, run(folder)


def test_the_theory_has_every_file_and_admits_nothing():
    assert sorted(path.stem for path in THEORY.glob("*.v")) == sorted(STATIC)
    assert sorted(name for wave in WAVES for name in wave) == sorted(STATIC)
    for path in THEORY.glob("*.v"):
        text = path.read_text("utf-8")
        assert not re.search(r"\b(Admitted|admit|Axiom|Parameter|Conjecture|Abort)\b", text), path.name


def test_the_statement_is_about_projected_steps_and_ends_in_the_bound():
    """What Coq proves is only as good as this definition, so its end stands here a second time."""
    text = " ".join((THEORY / "certificate.v").read_text("utf-8").split())
    statement = text.partition("Definition step_error : Prop :=")[2].partition(". (*")[0]
    assert statement.startswith(" forall (n : nat) (V : nat -> nat -> nat -> R)")
    assert "0 <= eta -> (0 < n)%nat ->" in statement
    assert statement.endswith(
        "stack N dim (fun j k i => clip_to (face j) (V j k i - eta * Gr j k i) - clip_to (face j) "
        "(V j k i - eta * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) <= eta * bound"
    )


def test_the_statement_in_floats_is_about_clipped_weights():
    text = " ".join((THEORY / "step64.v").read_text("utf-8").split())
    statement = text.partition("Definition step_in_floats ")[2].partition(". Lemma ")[0]
    inside = "(forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> "
    assert "clipped (face e j) (W j k i) (W' j k i)) ->" in statement
    assert statement.endswith(
        "(forall j, (j < N c)%nat -> face e j <= side j <= half c j) -> "
        f"{inside}is_finite (W' j k i) = true /\\ Rabs (value_of (W' j k i)) <= half c j) /\\ "
        "stack (N c) (dim c) (fun j k i => value_of (W' j k i) - clip_to (side j) "
        "(V j k i - eta e * (/ INR n * sum n (fun t => s t j k * p t j i / 2)))) <= eta e * bound c"
    )


def test_a_unit_that_reads_two_slots_is_one_of_the_matrices():
    """What Coq takes for a unit, and for a head whose keys are 1: nothing less may be proved of them."""
    units, heads = (" ".join((THEORY / name).read_text("utf-8").split()) for name in ("slope.v", "heads.v"))
    unit = units.partition("Definition two_slot_unit ")[2].partition(". Definition ")[0]
    assert unit.endswith(
        "rounding.sums True (score_of h) (inputs h) /\\ relu_of (eval (score_of h)) (out h) /\\ "
        "weight_of h = c /\\ exists by_y bias, inputs h = [a * x; by_y * y; bias] /\\ "
        "entry (- (a * rho)) by_y /\\ Rabs (bias - (b - a * offset)) <= 4 * u * (Rabs b + Rabs (a * offset))"
    )
    head = heads.partition("Definition head_of ")[2].partition(". (*")[0]
    assert head.endswith(
        "(forall i, (i < T)%nat -> unit (h i)) /\\ "
        "rounding.sums (forall i, (i < T)%nat -> is_finite (out (h i)) = true) t "
        "(map (fun i => weight_of (h i) * value_of (out (h i))) (seq 0 T)) /\\ "
        "value_of count = INR T /\\ m = Bdiv mode_NE (eval t) count"
    )


def test_the_gradient_is_that_of_the_loss_over_every_weight():
    text = " ".join((THEORY / "proof.v").read_text("utf-8").split())
    statement = text.partition("Definition gradient_of_loss ")[2].partition(". Module ")[0]
    assert "is_derive (fun a => ell a b) a (phi c (a - rho c * b) - sigma c * b)) ->" in statement
    assert statement.endswith(
        "forall j k i, (j < N c)%nat -> (k < dim c (S j))%nat -> (i < dim c j)%nat -> "
        "is_derive (fun v => loss_of (N c) (dim c) (act c) ell n X Y (with_entry V j k i v)) (V j k i) "
        "(/ INR n * sum n (fun t => s t j k * p t j i / 2))"
    )


def test_roots_are_rounded_up():
    assert root(4) == 2 and root(Fraction(9, 4)) == Fraction(3, 2)
    for x in (
        2,
        3 * 10**9,
        Fraction(1, 2),
        *(Fraction(B_v) ** 2 / 3 for B_v in (1.0, 1e-3, 1e-9, 1e-60, 1e6)),
    ):
        assert 1 < root(x) ** 2 / x <= (1 + Fraction(1, 10**17)) ** 2


def test_sums_are_those_of_the_program():
    """What stands in data.v, read back with an expression of its own, against the program at many points."""
    made = certified(loss="logistic", N=2, K=2, eps=0.5)
    program, text = made["program"], Instance(made).data()
    expected = [one[kind] for one in program["layers"] for kind in ("r", "dr")]
    expected = [*expected, *(one["product"]["square"] for one in program["layers"]), program["loss"]["relus"]]
    found = []
    number = r"\((-?\d+) # (\d+)\)"
    for kinks, weights, constant, units, reach, *error in re.findall(
        rf"Relus (\d+) (\d+) \((-?\d+)\) \[(.*?)\]%Z (\d+) {number}", text, re.DOTALL
    ):
        rows = re.findall(r"\((true|false), (-?\d+), (-?\d+)\)", units)
        made_of = [
            (s == "true", Fraction(int(b), int(kinks)), Fraction(int(c), int(weights))) for s, b, c in rows
        ]
        found.append(
            (
                Fraction(int(constant), int(weights)),
                made_of,
                Fraction(int(reach), int(kinks)),
                Fraction(*map(int, error)),
            )
        )
    assert len(found) == sum(one is not None for one in expected)
    errors = {(claim["reach"], claim["error"]) for claim in made["lemmas"].values()}
    for relus in filter(None, expected):
        units = [*zip(*(map(Fraction, relus[key]) for key in "abc"), strict=True)]

        def is_it(constant, rows, units=units, relus=relus):
            points = [Fraction(x, 7) for x in range(-20, 21)]
            one = [constant + sum(c * max((x if s else -x) + b, 0) for s, b, c in rows) for x in points]
            return one == [
                Fraction(relus["constant"]) + sum(c * max(a * x + b, 0) for a, b, c in units) for x in points
            ]

        assert [
            True
            for constant, rows, reach, error in found
            if is_it(constant, rows) and (reach, error) in errors
        ]


def test_numbers_of_the_machine_are_those_of_the_program(tmp_path):
    made = certified(loss="logistic", N=2, K=2, eps=0.5)
    export(made, tmp_path)
    program, text = made["program"], (tmp_path / "in_floats.v").read_text("utf-8")
    keys = ("above_z", "above_g", "above_s", "face")
    expected = [[Fraction(layer[key]) for layer in program["layers"]] for key in keys]
    found = [
        [Fraction(*map(int, one)) for one in re.findall(r"\((\d+) # (\d+)\)", numbers)]
        for numbers in re.findall(r"\[(\(\d.*?)\]", text)
    ]
    assert found == expected and len({tuple(one) for one in expected}) == len(keys)
    rate = re.search(r"Update \((\d+) # (\d+)\) ", text).groups()
    assert Fraction(*map(int, rate)) == Fraction(program["eta"]) and f"Machine {program['n'] + 1} [" in text


@pytest.mark.parametrize("letters", [{"activation": "swish", "loss": "log-cosh"}, {"loss": "log-cosh"}])
def test_what_cannot_be_exported_is_said(tmp_path, letters, monkeypatch):
    monkeypatch.setattr(coqc, "_coqc", lambda *given: SimpleNamespace(stdout="8.18 x"))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    export(certified(**letters), tmp_path)
    assert not (tmp_path / "instance.v").exists()
    report = run(tmp_path)
    assert report.ok and not report.settles and report.bound is None
    assert "nothing" in report.statement and "not exported: the loss" in report.statement


def test_without_coqc_nothing_is_claimed(tmp_path, monkeypatch):
    export(certified(), tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    report = run(tmp_path)
    assert not report.ok and "not installed" in report.statement


@pytest.mark.parametrize("enough", [False, True])
def test_a_constant_above_eps_does_not_settle_the_claim(tmp_path, monkeypatch, enough):
    """coqc is played: it accepts every file, and prints an axiom of the reals."""
    export(certified(), tmp_path)
    instance = tmp_path / "instance.v"
    found = re.findall(r"^Definition (\w+) : Q := \((\d+) # (\d+)\)\.$", instance.read_text(), re.MULTILINE)
    assert [name for name, *_ in found] == ["bound", "eps"]
    if not enough:
        less = re.sub(r"(Definition eps : Q := )\(.*\)", r"\1(1 # 1000)", instance.read_text())
        instance.write_text(less)
    accepted = coqc.File("", True, 0.0, "Axioms:\nClassicalDedekindReals.sig_forall_dec : p")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(coqc, "_coqc", lambda *given: SimpleNamespace(stdout="8.18 x"))
    monkeypatch.setattr(coqc, "_compile", lambda where, name, limit: replace(accepted, name=name))
    report = run(tmp_path)
    assert report.ok and report.bound == Fraction(*map(int, found[0][1:]))
    assert (report.bound <= report.eps) == report.settles == report.as_dict()["settles"] == enough
    words = (
        "this settles the claim" if enough else "this does not settle the claim norm2(err) <= eta eps: the"
    )
    assert words in report.statement
    assert not replace(report, eps=None).settles and not replace(report, version=None).settles


def test_what_is_taken_for_granted_about_rounding(tmp_path, monkeypatch):
    """Nothing for `lean` in float64: every slope of a loss that is exported is counted."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    lean = [certified(loss=loss, output=output) for loss, output in PAIRS]
    for given in (*lean, certified("paper"), lean[0] | {"arithmetic": "float32"}):
        export(given, tmp_path)
        report, counted = run(tmp_path), given in lean
        assert len(report.trusted) == 3 + (not counted)
        assert ("every computed number is within" in report.trusted[-1]) == (not counted)
        assert report.tokens == (given["program"]["n"] + 1 if counted else None)
        if counted:
            text, letters = (tmp_path / "in_floats.v").read_text("utf-8"), given["problem"]
            assert "slope_counted certified machine = true." in text
            from_p = (letters["loss"], letters["output"]) == ("squared", "activated")
            assert re.search(r"Machine .*", text)[0].endswith(" (Some (2 # 1))." if from_p else " None.")


@pytest.mark.parametrize(
    ("loss", "output"), [("huber", "linear"), ("squared", "linear"), ("huber", "activated")]
)
def test_slots_of_the_loss_slope_are_read_as_coq_says(loss, output):
    """Each unit of the matrices that writes it is c relu(a (t - y) + b), of the slots of Coq's rows."""
    program, linear = certified(loss=loss, output=output)["program"], output == "linear"
    slots = {name: place.start for name, place in layout(program).items()}
    source, target = (slots[name] for name in (("z1", "s1") if linear else ("p1", "u1")))
    above = Fraction(program["layers"][0]["above_z"]) if linear else Fraction(0)
    found, constant = set(), 0.0
    for layer in expected(program)[:-1]:
        at = layer.entries
        for name, head, _, column in [key for key in at if key[0] in ("W2", "V") and key[2] == target]:
            weight = at[name, head, target, column]
            if name == "W2":
                reads = {key[3]: at[key] for key in at if key[0] == "W1" and key[2] == column}
            else:
                assert column == slots["one"]
                reads = {key[3]: at[key] for key in at if key[:3] == ("Q", head, 0)}
                assert {key[2:]: at[key] for key in at if key[:2] == ("K", head)} == {(0, column): 1.0}
            bias = reads.pop(slots["one"])
            bias = bias.value if isinstance(bias, Computed) else Fraction(bias)
            if reads:
                a = reads.pop(source)
                assert reads == {slots["y"]: -a}
                found.add((a, float(bias + Fraction(a) * above), weight))
            else:
                constant += float(bias) * weight
    clip, line = {(1.0, 0.5, 1.0), (1.0, -0.5, -1.0)}, {(1.0, 0.0, 2.0), (-1.0, 0.0, -2.0)}
    assert (found, constant) == ((clip, -0.5) if loss == "huber" else (line, 0.0))


def test_a_bound_stands_where_its_rounding_is_not_proved(tmp_path, monkeypatch):
    export(certified(), tmp_path)
    printed = "Axioms:\nClassical_Prop.classic : forall P : Prop, P"
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(coqc, "_coqc", lambda *_: SimpleNamespace(stdout="8.16.1"))
    for bad, kept in (("in_floats.v", True), ("instance.v", False), ("step64.v", False)):

        def play(folder, name, limit, bad=bad):
            return coqc.File(name, name != bad, 0.0, "Error: no" if name == bad else printed)

        monkeypatch.setattr(coqc, "_compile", play)
        report = run(tmp_path)
        assert report.ok == report.settles == kept and report.tokens is None
        floats = [replace(report, assumptions=names).trusted[0] for names in ((), ("PrimFloat.add",), ("a",))]
        assert ["integers and floats, and" in item for item in floats] == [True, True, False]
        assert ("proved nothing about binary64" in report.statement) == kept
        assert f"coqc refuses {bad}: Error: no" in report.statement
        assert not kept or "every computed number is within" in report.trusted[-1]


@needs_coq
@pytest.mark.slow
def test_coq_proves_the_step_error(compiled):
    made, folder, report = compiled
    assert report.ok and report.settles, report.statement
    assert made["certified"] <= report.bound <= min(made["certified"] * 1.0005, SMALL["eps"])
    machine = {
        name for name in report.assumptions if re.match(r"(PrimInt63|Uint63|PrimFloat|FloatAxioms)\.", name)
    }
    assert {*report.assumptions} - machine == AXIOMS
    assert "norm2(err) <=" in report.statement
    assert report.tokens == made["program"]["n"] + 1 and "proved for binary64" in report.statement
    proved = (folder / "in_floats.v").read_text("utf-8")
    assert "step_error_in_floats certified machine /\\ step_in_floats certified machine updates" in proved
    assert "certificate.bound certified = Q2R bound) /\\ gradient_of_loss certified" in proved


@needs_coq
@pytest.mark.slow
def test_damaged_certificates_are_refused(compiled, tmp_path):
    """A claim 1 % too small, a weight, a unit, a range, a cell, a room for rounding: each check is false."""
    shutil.copytree(compiled[1], tmp_path / "coq")
    damages = Path(__file__).with_name("damaged.v").read_text("utf-8")
    (tmp_path / "coq" / "damaged.v").write_text(damages.replace("BOXES", "4"), "utf-8")
    file = _compile(tmp_path / "coq", "damaged.v", 120)
    verdicts = [
        re.findall("true|false", found) for found in re.findall(r"= \[(.*?)\]", file.output, re.DOTALL)
    ]
    assert file.ok and [len(row) for row in verdicts] == [12, 2, 2, 3, 10, 3, 5, 4, 5, 7], file.output
    for row in verdicts:
        assert row == ["true", *["false"] * (len(row) - 1)]


@needs_coq
@pytest.mark.slow
@pytest.mark.parametrize(("loss", "output"), [pair for pair in PAIRS if pair != ("squared", "activated")])
def test_every_loss_slope_is_proved_down_to_floats(compiled, tmp_path, loss, output):
    """Rooms are enough, with one example and small targets, too; ranges that are attained are accepted.

    The slope of the logistic loss rises by 1/4 at z = 0, which Coq encloses from outside.
    """
    folder = tmp_path / "coq"
    shutil.copytree(compiled[1], folder)
    export(certified(loss=loss, output=output, n=1, B_y=1e-3), folder)
    probe = (folder / "in_floats.v").read_text("utf-8").partition("Theorem")[0].replace(" instance", "")
    probe += (
        "Eval vm_compute in (Checks.Ce.loss_fits prec certified, update_fits certified machine updates 0)."
    )
    (folder / "probe.v").write_text(probe, "utf-8")
    files = [_compile(folder, name, 120) for name in ("data.v", "arithmetic.v", "probe.v")]
    assert "= (true, true)" in files[-1].output, [file.output for file in files]


@needs_coq
@pytest.mark.slow
def test_coqc_refuses_a_file_whose_check_comes_out_false(compiled, tmp_path):
    folder = tmp_path / "coq"
    shutil.copytree(compiled[1], folder)
    path = folder / "data.v"
    broken = re.sub(r"(Relus .*?\]%Z \d+ )\((\d+) # ", r"\1(1 # ", path.read_text(), count=1, flags=re.DOTALL)
    assert broken != path.read_text()
    path.write_text(broken)
    assert all(_compile(folder, name, 120).ok for name in ("data.v", "arithmetic.v"))
    file = _compile(folder, "layer_1.v", 120)
    assert not file.ok and "Error" in file.output


@needs_coq
@pytest.mark.slow
def test_pairs_of_integers_need_no_axioms_on_floats_and_admitted_lemmas_are_seen(compiled, tmp_path):
    """The same files with the other arithmetic, and one lemma admitted: it is the only new assumption."""
    folder = tmp_path / "coq"
    shutil.copytree(compiled[1], folder)
    arithmetic = folder / "arithmetic.v"
    arithmetic.write_text(arithmetic.read_text().replace(f"{FLOATS[True]}.", f"{FLOATS[False]}."))
    instance = folder / "instance.v"  # with coarser tables, to be faster
    instance.write_text(re.sub(r"(certificate_ok prec certified) \d+", r"\1 4", instance.read_text()))
    layer = folder / "layer_1.v"
    layer.write_text(re.sub(r"Proof\..*?Qed\.", "Admitted.", layer.read_text(), flags=re.DOTALL))
    files = [_compile(folder, name, 300) for name in ("arithmetic.v", "layer_1.v", "instance.v")]
    assert all(file.ok for file in files), [file.output for file in files]
    found = {name for name in axioms(files[-1].output) if not re.match(r"(PrimInt63|Uint63)\.", name)}
    assert found == AXIOMS | {"layer_1.fits"}
    assert not replace(compiled[2], assumptions=tuple(found)).ok
