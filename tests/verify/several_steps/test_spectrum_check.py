"""The check of bounds on the Hessian: what it accepts is true, cell by cell, and damage is refused."""

import copy

import numpy as np
import pytest
import torch
from flint import ctx, fmpq

from icgd.bounds.functions.envelope import Envelope as FoundEnvelope
from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.output_curvature import OutputCurvature
from icgd.bounds.several_steps.spectrum import _QuadraticForm, hessian_spectrum
from icgd.bounds.step_error.worst_case import Cells, Setting
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.relu import PRECISION
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.several_steps.spectrum_certificate import spectrum_certificate
from icgd.verify.several_steps.spectrum_check import SpectrumCheck, check_spectrum
from tests.bounds.several_steps.test_spectrum import PROBLEMS, R, hessians
from tests.durations import mostly_slow

SMALL = PROBLEMS[0]


@pytest.fixture(scope="module")
def issued():
    return spectrum_certificate(hessian_spectrum(SMALL))


@pytest.mark.parametrize("letters", mostly_slow([
    {"N": 1, "activation": "identity", "loss": "logistic"},
    {"N": 3, "K": 3, "activation": "gelu"},
    {"N": 2, "K": 2, "loss": "huber", "B_x": 2.0},
    {"N": 2, "loss": "(p - y)**4/10", "output": "linear"},
]))  # fmt: skip
def test_certificates_are_accepted(letters):
    problem = Problem.parse(letters)
    found = hessian_spectrum(problem)
    proved = check_spectrum(spectrum_certificate(found), posed_letters(problem))
    assert proved == (found.below.bound, found.above.bound)


def with_suprema_of(one):
    """The envelope that finds bounds, with the numbers of the check's."""
    peak, slope, bend = one.peak
    heights = {name: tops for name, (_, tops) in one.rows.items()}
    multipliers = {name: lam[:, 0] for name, (lam, _) in one.rows.items()}
    least = one.least**2
    return FoundEnvelope(float(one.reach), slope, bend, peak**2, least, multipliers, heights)


@pytest.mark.parametrize(
    "problem", mostly_slow(PROBLEMS, 5), ids=lambda one: f"{one.activation.name}-{one.loss.name}-{one.N}"
)
def test_the_form_of_a_cell_covers_the_networks_in_it_and_is_the_one_that_found_the_bounds(problem):
    """Around the root mean squares of a network's own layers, where the form is as tight as it can be.

    The check and what found the bounds share no code: given the same suprema, they differ by what the latter
    adds for rounding, 1e-9 in each of a few factors, and by what that becomes in a difference of two of them.
    """
    prompt = random_prompts(problem, 16, seeded(5))
    x, y, w = prompt.x[:, 0], prompt.y[:, 0], prompt.w
    values = torch.linalg.eigvalsh(hessians(problem, x, y, w))
    with ctx.workprec(PRECISION):
        check = SpectrumCheck(spectrum_certificate(hessian_spectrum(problem)), posed_letters(problem))
        check.envelopes = check.made_envelopes()
        setting = hessian_spectrum(problem).setting
        found = _QuadraticForm(Setting(problem, setting.layers, setting.from_z))
        vars(found.setting)["envelopes"] = [with_suprema_of(one) for one in check.envelopes]
        tops = [check.output_tops(side) for side in (1, -1)]
        vars(found)["output"] = [OutputCurvature(*np.array(one, dtype=float)) for one in tops]
        for side, check.output in zip((1, -1), tops, strict=True):
            for k in range(len(w)):
                p, start, cell = x[k].numpy(), 0, []
                for j, (a, b) in enumerate(zip(problem.dims[1:], problem.dims[:-1], strict=True), start=1):
                    z = w[k, start : start + a * b].reshape(a, b).numpy() @ p
                    start += a * b
                    bare = j == problem.N and problem.output == "linear"
                    p = z if bare else R[problem.activation.name](torch.from_numpy(z)).numpy()
                    size = float(np.sqrt(np.mean(p**2)))
                    cell.append(
                        (
                            fmpq(int(size * (1 - 1e-9) * 2**60), 2**60),
                            fmpq(int(size * (1 + 1e-9) * 2**60), 2**60),
                        )
                    )
                form = np.array([[float(entry) for entry in row] for row in check.form(cell)])
                assert form == pytest.approx(form.T, rel=1e-12)  # eigvalsh reads one half
                top = np.linalg.eigvalsh(form)[-1] / 2
                assert float((side * values[k]).max()) <= top * (1 + 1e-9) + 1e-12
                low, high = np.array(cell, dtype=float).T[:, :, None]
                (theirs,) = found.largest(Cells(low, high), 0 if side == 1 else 1)
                assert top <= theirs <= top * (1 + 1e-7)


DAMAGED = {
    "a smaller upper bound": lambda c: c.update(above=0.98 * c["above"]),
    "a smaller lower bound": lambda c: c.update(below=0.98 * c["below"]),
    "a bound that is not a number": lambda c: c.update(above=float("nan")),
    "no cells but the root": lambda c: c["splits"].update(above=[0]),
    "the last cells left unsplit": lambda c: c["splits"]["below"].__delitem__(slice(9, None)),
    "cells that leave out large outputs": lambda c: c["root"][0].__setitem__(1, 0.9 * c["root"][0][1]),
    "cells that leave out small outputs": lambda c: c["root"][1].__setitem__(0, 0.1),
    "a range of z that is too small": lambda c: c["layers"][1].update(z=0.9 * c["layers"][1]["z"]),
    "a range of r that is too small": lambda c: c["layers"][0].update(r=0.9 * c["layers"][0]["r"]),
    "a range of the loss slope that is too small": lambda c: c.update(most=0.9 * c["most"]),
    "another problem": lambda c: c["problem"].update(B_x=0.5),
    "another statement": lambda c: c.update(statement="nothing"),
    "a field that is missing": lambda c: c.pop("root"),
    "a split in a layer that is not there": lambda c: c["splits"].update(above=[7, 0, 0]),
}  # fmt: skip


def test_damage_is_refused(issued):
    letters = posed_letters(SMALL)
    check_spectrum(issued, letters)
    for name, damage in DAMAGED.items():
        damaged = copy.deepcopy(issued)
        damage(damaged)
        with pytest.raises(Refused):
            check_spectrum(damaged, letters)
            pytest.fail(name)


def test_the_check_of_a_formula_asks_for_a_lipschitz_constant():
    problem = PROBLEMS[-1]
    damaged = spectrum_certificate(hessian_spectrum(problem)) | {"lip": 0.9}
    with pytest.raises(Refused, match="lip"):
        check_spectrum(damaged, posed_letters(problem))
