"""The constants of Section 3.3 and Appendix C of arXiv 2411.16549 in numpy, written from the paper's text."""

import math

import numpy as np

from icgd.bounds.functions.random_features import feature_mass

TANH = {"tanh": (np.tanh, lambda t: 1 - np.tanh(t) ** 2, lambda t: -2 * np.tanh(t) * (1 - np.tanh(t) ** 2))}


def softplus(t):
    return np.logaddexp(0.0, t)


def logistic(t):
    return 1 / (1 + np.exp(-t))


FORMS = TANH | {
    "softplus": (softplus, logistic, lambda t: logistic(t) * (1 - logistic(t))),
    "sin": (np.sin, np.cos, lambda t: -np.sin(t)),
}


def largest(function, radius):
    return float(np.abs(function(np.linspace(-radius, radius, 20_001))).max())


def as_printed(problem):
    """Section 3.3 and Appendix C word by word, maxima over j in [N] included; squared loss."""
    r, dr, ddr = FORMS[problem.activation.name]
    N, K, d, B_v = problem.N, problem.K, problem.d_out, problem.B_v
    B, D = [problem.B_x], [problem.B_x]
    for _ in range(N):
        B.append(largest(r, B_v * B[-1]))
        D.append(largest(dr, B_v * D[-1]))
    B_r, B_dr = max(B), max(D)
    R_1, R_2, R_3 = max(B_v * B_r, 1), max(B_v * B_dr, 1), max(B_v * B_r, problem.B_y, 1)
    L_r, L_dr, L_l, B_l = largest(dr, R_1), largest(ddr, R_2), 2.0, 2 * (B_r + problem.B_y)
    layers = range(1, N + 1)
    sums = [sum(K ** (k / 2) * L_r**k * B_v**k for k in range(j)) for j in layers]
    E_r = max(max(one * math.sqrt(K), sums[-1] * math.sqrt(d)) for one in sums)
    P = max(math.sqrt(K), math.sqrt(d))
    B_s = max((P * B_dr * B_v) ** (N - j) * B_dr * B_l for j in layers)

    def geometric(j):
        return sum((B_dr * B_v * P) ** k for k in range(N - j))

    def last(j):
        return (B_dr * B_v * P) ** (N - j)

    E_s_r = max(
        L_dr * E_r * P * B_s * B_v**2 * geometric(j) + last(j) * (B_l * L_dr * B_v * E_r + B_dr * L_l * E_r)
        for j in layers
    )
    E_s_dr = max(P * B_s * B_v * geometric(j) + last(j) * B_l for j in layers)
    E_s_l = max(last(j) * B_dr for j in layers)
    C_l, C_dr = (N * P**1.5 * B_r * E for E in (E_s_l, E_s_dr))
    C_r = N * P**1.5 * B_r * E_s_r + N * P * B_s * E_r
    eps = {"epsilon_" + k: 2 * problem.eps / (3 * C) for k, C in (("l", C_l), ("r", C_r), ("{r'}", C_dr))}
    C_1, C_2 = feature_mass(problem.activation.r, R_1), feature_mass(problem.activation.derivative, R_2)
    return eps | {
        "B_r": B_r, "B_{r'}": B_dr, "R_1": R_1, "R_2": R_2, "R_3": R_3, "E_r": E_r, "P": P, "B_s": B_s,
        "E_s^r": E_s_r, "E_s^{r'}": E_s_dr, "E_s^l": E_s_l, "C_l": C_l, "C_r": C_r, "C_{r'}": C_dr,
        "nu_2": 1 + K * C_1, "nu_3": 1 + K * (N - 1) * C_2, "nu_7": 1 + 2 * problem.eta * N * K,
    }  # fmt: skip
