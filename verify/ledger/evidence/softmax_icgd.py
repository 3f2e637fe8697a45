"""Evidence for findings about arXiv 2411.16549, Theorem 2: four layers by universal approximation."""

from __future__ import annotations

import math
from dataclasses import replace

import sympy

from icgd.bounds.functions.pieces import fit
from icgd.bounds.functions.scalar import Scalar, t
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import four_layers, halved
from icgd.construct.block.census import layer_counts
from icgd.construct.block.grid_interpolation import FourLayerTransformer
from icgd.construct.softmax_icgd import build
from icgd.verify.ledger.entries import Numbers
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import one_step_errors
from icgd.verify.softmax_icgd import smallest


def grid(eps: float = 0.05) -> Numbers:
    """Nodes of a sufficient grid, for the default problem and for the one with three variables."""
    posed, least = Problem(eps=eps), smallest(Problem(), eps)
    found, small = four_layers(halved(posed)), four_layers(halved(least))
    half = four_layers(halved(replace(posed, eps=eps / 2)))
    return {
        "variables": found.variables,
        "log10_nodes": found.log10_nodes,
        "digits": math.floor(found.log10_nodes) + 1,
        "factor": 10 ** (half.log10_nodes - found.log10_nodes),
        "smallest_variables": small.variables,
        "smallest_log10_nodes": small.log10_nodes,
        "shows": found.variables == posed.D_w + posed.d + posed.d_out and found.log10_nodes > 100,
    }


def smallest_built(eps: float = 0.05, cells: int = 11, prompts: int = 400, seed: int = 0) -> Numbers:
    """Four layers built for the smallest problem, with `cells` cells per side and one fewer; and ours."""
    posed = halved(smallest(Problem(), eps))
    prompt = random_prompts(posed, prompts, seeded(seed))
    built = [FourLayerTransformer(posed, count) for count in (cells - 1, cells)]
    before, error = (2 * float(one_step_errors(four, prompt).max()) / posed.eta for four in built)
    ours = build(smallest(Problem(), eps))
    return {
        "cells": cells,
        "width": built[-1].mlp_width,
        "eps": eps,
        "error": error,
        "before": before,
        "prompts": prompts,
        "our_width": layer_counts(ours)["mlp_width"],
        "our_layers": layer_counts(ours)["layers"],
        "our_error": 2 * float(one_step_errors(ours, prompt).max()) / ours.problem.eta,
        "shows": error <= eps < before,
    }


def least_width(eps: float = 0.05, layers: int = 4) -> Numbers:
    """A lower bound on the width of a network with `layers` ReLU layers, from its pieces along one line.

    The token's gradient at x = 1, y = -1 as a function of w, in the convention of Theorem 2; a hidden layer
    of m ReLUs multiplies the pieces along a line by m + 1 at most.
    """
    along = 2 * (sympy.tanh(t) + 1) * (1 - sympy.tanh(t) ** 2)
    fitted = fit(Scalar(along), -1.0, 1.0, eps)
    width = math.ceil(fitted.fewest ** (1 / layers) - 1)
    enough = four_layers(halved(smallest(Problem(), eps)))
    return {
        "pieces": fitted.fewest,
        "needed": width,
        "log10_enough": enough.log10_nodes,
        "millions": 10 ** (enough.log10_nodes - 6),
        "shows": 1 <= width < 10**enough.log10_nodes,
    }


def conventions() -> Numbers:
    """(1/n) sum against (1/(2n)) sum, in symbols: the same step at 2 eta, the same error at eps / 2."""
    eta, eps, n = sympy.symbols("eta epsilon n", positive=True)
    total = sympy.Symbol("G")  # sum of the examples' gradients
    same = sympy.simplify(eta * total / n - 2 * eta * total / (2 * n)) == 0
    error = sympy.simplify(eta * eps - (2 * eta) * (eps / 2)) == 0
    posed = halved(Problem())
    once = sympy.simplify((eta * total / n) / (eta * total / (2 * n)))
    return {
        "eta": posed.eta / Problem().eta,
        "eps": posed.eps / Problem().eps,
        "factor": int(once),
        "shows": same and error and posed.eta * posed.eps == Problem().eta * Problem().eps and once == 2,
    }
