"""A sample of the grid of ordinary problems, and problems that were once refused by mistake."""

import pytest

from icgd.verify.grid import COUNT, GRID_ACTIVATIONS, grid_problems, outcome

ONCE_REFUSED = [
    *({"activation": formula, "N": 2} for formula in (
        "1/(1+t**2)", "t/sqrt(1+t**2)", "t/(1+t**2)", "1/cosh(t)", "log(1+t**2)", "sqrt(1+t**2)",
        "exp(-t**4)", "log(cosh(t))", "cosh(t)-1", "tanh(t)/(1+t**2)", "1/(1+t**4)", "(t**2+1)**0.3",
        "Abs(-1)*tanh(t)", "1+t**2/999999999", "(t**2+1)**(1/999999999)", "sqrt(" * 30 + "1+t**2" + ")" * 30,
        "1", "pi", "1e-12*t", "t+t**2/1e12", "sin(sin(sin(sin(sin(t)))))",
    )),
    {"activation": "gelu", "N": 2, "K": 5, "B_x": 3, "B_v": 2, "eps": 0.3},
    {"activation": "gelu", "N": 4, "K": 2, "B_x": 1.5, "B_v": 1.4, "eps": 0.2},
    {"activation": "gelu", "N": 2, "B_x": 5, "B_v": 3},
    {"activation": "sin", "N": 1, "K": 1, "B_x": 5, "B_v": 3, "eps": 0.01},
    {"activation": "sin", "N": 2, "B_v": 8},
    {"activation": "softplus", "N": 2, "B_x": 5, "B_v": 3},
    {"activation": "cos(t)", "N": 2, "B_v": 8},
    {"activation": "t/(1+exp(-t))", "N": 2, "B_x": 4, "B_v": 2},
    {"N": 2, "K": 2, "d_out": 1, "n": 2, "eps": 0.5, "B_v": 0.001},
    {"B_v": 1e-9, "B_x": 1e3, "B_y": 1e3, "eps": 1e5},
    {"activation": "100*t", "N": 2, "eps": 1.0},
    {"activation": "log(1+t**2)", "N": 5, "K": 1, "d": 3, "d_out": 1, "n": 2, "eps": 0.087, "B_x": 0.11,
     "B_y": 0.035, "B_v": 0.32, "output": "linear"},  # rounds too much in float64
    {"activation": "identity", "loss": "logistic", "N": 4, "K": 1, "d": 4, "B_x": 2.9, "B_v": 8.8,
     "eps": 0.0036},
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "letters", ONCE_REFUSED, ids=lambda letters: " ".join(map(str, letters.values()))[:60]
)
def test_what_is_right_is_proved(letters):
    found = outcome(letters, "lean")
    assert (found.status, found.failed) == ("proved", ()), found.evidence


GRID = list(grid_problems())
SAMPLE = (68, 291, 32, 130, 60, 253, 230, 241, 107, 249, 14, 199, 221, 1, 228, 136)
"""Places in the grid, drawn at random from those of at most 3,000 estimated units: each takes seconds."""


@pytest.mark.slow
@pytest.mark.parametrize("index", SAMPLE)
def test_every_problem_is_proved_or_refused_beforehand_in_one_sentence(index):
    found = outcome(*GRID[index])
    assert found.status in ("proved", "refused") and not found.failed, (GRID[index], found.evidence)
    if found.status == "refused":
        assert "\n" not in found.evidence and len(found.evidence) < 300 and ": " in found.evidence


def test_the_grid_is_what_it_is_said_to_be():
    letters = [one for one, _ in GRID]
    assert len(GRID) == COUNT == 300 and {one["activation"] for one in letters} == set(GRID_ACTIVATIONS)
    assert {one["N"] for one in letters} == set(range(1, 7))
    assert {one["loss"] for one in letters} == {"squared", "logistic", "huber"}
    assert {construction for _, construction in GRID} == {"lean", "paper"}
    radii = [one[name] for one in letters for name in ("B_x", "B_y", "B_v")]
    assert 0.01 <= min(radii) < 0.02 and 8 < max(radii) <= 10
    assert len(GRID_ACTIVATIONS) == 20
