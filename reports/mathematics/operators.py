"""Relations, signs, brackets and functions in plain text, each with its LaTeX."""

from __future__ import annotations

from icgd.reports.mathematics.letters import SYMBOLS

RELATIONS = {"=": "=", "==": "=", "<": "<", ">": ">", "<=": r"\le", ">=": r"\ge", "->": r"\to", "~": r"\sim"}
RELATIONS |= {sign: rf"\{SYMBOLS[sign]}" for sign in "≤≥≠≈≡∼∝≪≫∈∉⊂⊆→←↔⇒⇐⇔↦⪯⪰≺≻"}
SUM_SIGNS = {"+": "+", "-": "-", "−": "-", "±": r"\pm", "+/-": r"\pm", "∓": r"\mp", "-+": r"\mp"}
PRODUCT_SIGNS = {
    "*": r"\cdot",
    "·": r"\cdot",
    "⋅": r"\cdot",
    "×": r"\times",
    "∘": r"\circ",
    "⊗": r"\otimes",
    "/": "/",
}
BRACKETS = {
    "(": (")", "(", ")"), "[": ("]", "[", "]"), "{": ("}", r"\{", r"\}"),
    "⟨": ("⟩", r"\langle ", r"\rangle "),
    "⌈": ("⌉", r"\lceil ", r"\rceil "), "⌊": ("⌋", r"\lfloor ", r"\rfloor "),
    "|": ("|", "|", "|"), "‖": ("‖", r"\Vert ", r"\Vert "),
}  # fmt: skip
NAMED_FUNCTIONS = {
    name: rf"\{name} " for name in ("exp", "log", "ln", "sin", "cos", "tanh", "max", "min", "sup", "inf")
}
NAMED_FUNCTIONS |= {"sum": r"\sum ", "prod": r"\prod ", "grad": r"\nabla "}
NAMED_FUNCTIONS |= {name: rf"\mathrm{{{name}}}" for name in ("diag", "tr", "Proj", "relu", "rank")}
SPACED_FUNCTIONS = ("exp", "log", "ln", "max", "min", "sup", "inf", "grad")
"""Functions whose argument may follow after a space, without brackets."""
