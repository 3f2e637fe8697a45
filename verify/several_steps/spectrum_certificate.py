"""Issues certificates of bounds on the Hessian of L_n, as plain data for their checker."""

from __future__ import annotations

from typing import Any

from icgd.bounds.several_steps.spectrum import Spectrum
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.several_steps.spectrum_check import FORMAT, STATEMENT


def spectrum_certificate(found: Spectrum) -> dict[str, Any]:
    """The certificate of these bounds, as its file holds it."""
    setting = found.setting
    problem, layers, root = setting.problem, setting.layers, setting.everything
    reach = layers[-1].r + abs(problem.loss.rho) * problem.B_y
    made = {
        "format": FORMAT,
        "problem": posed_letters(problem),
        "statement": STATEMENT,
        "below": found.below.bound,
        "above": found.above.bound,
        "layers": [{"z": layer.z, "r": layer.r} for layer in layers],
        "most": problem.loss.phi.sup(-reach, reach) * (1 + 2.0**-40),
        "lip": setting.loss_slope[1] * (1 + 2.0**-40),
        "multipliers": [
            {name: lam.tolist() for name, lam in one.multipliers.items()} for one in setting.envelopes
        ],
        "root": [
            [low, high] for low, high in zip(root.low[:, 0].tolist(), root.high[:, 0].tolist(), strict=True)
        ],
        "splits": {"below": found.below.splits, "above": found.above.splits},
    }
    return as_read(made)
