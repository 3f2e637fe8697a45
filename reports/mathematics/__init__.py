"""Typesetting of formulas, names of symbols and sources, as LaTeX and MathML."""
