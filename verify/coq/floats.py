"""The part of a Coq export that is about binary64: for how many tokens, and with which offsets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from icgd.verify.coq.formulas import rational

FLOATS_FILE = """From Coq Require Import Reals QArith Qreals List.
From ICGD Require Import certificate proof binary64 step64 data arithmetic instance.
Import ListNotations.

(* binary64.v says what step_error_in_floats is, step64.v what step_in_floats is. *)
Definition machine : machine_data := Machine {tokens} [{above_z}] [{above_g}] {last}.
Lemma counted : slope_counted certified machine = true.
Proof. reflexivity. Qed.
Definition updates : update_data := Update {rate} [{above_s}] [{faces}].

Lemma rooms : forallb (rounding_fits certified machine) (seq 0 (N certified)) = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem in_floats_too :
  ((step_error certified /\\ certificate.bound certified = Q2R bound) /\\ gradient_of_loss certified)
  /\\ step_error_in_floats certified machine /\\ step_in_floats certified machine updates.
Proof.
  split; [exact of_the_gradient | split].
  - exact (FloatChecks.floats_ok prec _ _ (proj1 step_error_at_most) sums fits slopes slope rooms).
  - apply (StepChecks.step_ok prec _ _ _ (proj1 step_error_at_most) sums fits slopes slope rooms).
    + vm_cast_no_check (eq_refl true).
    + vm_cast_no_check (eq_refl true).
Qed.

Print Assumptions in_floats_too.
"""

IN_FLOATS = (
    "for binary64, round to nearest, sums in any order, fused or not, with underflow, n at most {n:,}: the "
    "room for rounding is enough for the operations of z, r, r', g, the slope of the loss and products and, "
    "for n = {n:,}, of the update and of the clip, which leaves every weight in the box; no sum of theirs "
    "overflows; their offsets exceed their ranges"
)
"""What `step_error_in_floats` and `step_in_floats` add."""

NOT_IN_FLOATS = (
    "nothing about binary64; at extreme letters a room for rounding that is enough for the checker may "
    "be too small for the coarser count in Coq"
)
"""What is said where the bound is proved, but not down to floats, with what coqc says."""


def floats_file(certificate: Mapping[str, Any]) -> str:
    """The Coq file of the theorem about binary64; empty for what it does not cover, `paper` and float32."""
    program = certificate["program"]
    if certificate["construction"] != "lean" or certificate["arithmetic"] != "float64":
        return ""
    loss = program["loss"]
    slope, reads_p = loss["linear"], not loss["from_z"]

    def numbers(key: str) -> str:
        return "; ".join(rational(Fraction(layer[key])) for layer in program["layers"])

    return FLOATS_FILE.format(
        tokens=program["n"] + 1,
        above_z=numbers("above_z"),
        above_g=numbers("above_g"),
        above_s=numbers("above_s"),
        faces=numbers("face"),
        rate=rational(Fraction(program["eta"])),
        last=f"(Some {rational(Fraction(slope))})" if slope and reads_p else "None",
    )


def tokens_covered(text: str) -> int | None:
    """For how many tokens `in_floats.v` proves rounding; None for none."""
    tokens = re.search(r"machine_data := Machine (\d+) ", text)
    return int(tokens[1]) if tokens else None
