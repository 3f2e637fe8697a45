"""Greek letters and signs of mathematics, each with its name in LaTeX."""

from __future__ import annotations


class Tex(str):
    """Text that is LaTeX already, and is not escaped again."""

    __slots__ = ()


_GREEK_TABLE = """
α alpha β beta γ gamma δ delta ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho σ sigma
τ tau υ upsilon φ varphi χ chi ψ psi ω omega ε varepsilon ϵ epsilon ϕ phi ς varsigma ϑ vartheta
Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega
"""
_SYMBOL_TABLE = """
± pm ∓ mp × times ÷ div · cdot ⋅ cdot ≤ le ≥ ge ≠ neq ≈ approx ≡ equiv ∼ sim ∝ propto ≪ ll ≫ gg ∞ infty ∑ sum
∏ prod ∫ int √ surd ∂ partial ∇ nabla ∈ in ⋆ star ∉ notin ⊂ subset ⊆ subseteq ∪ cup ∩ cap ∅ emptyset ∀ forall
∃ exists → to ← leftarrow ↔ leftrightarrow ⇒ Rightarrow ⇐ Leftarrow ⇔ Leftrightarrow ↦ mapsto ⟨ langle
⟩ rangle ‖ Vert
⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil ∘ circ ⊤ top ⊥ perp ⊗ otimes ⊕ oplus ∧ wedge ∨ vee ¬ neg ℓ ell
⪯ preceq ⪰ succeq ≺ prec ≻ succ † dagger
"""


def _table(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


GREEK, SYMBOLS = _table(_GREEK_TABLE), _table(_SYMBOL_TABLE)
"""Letter or sign -> its name in LaTeX."""

BLACKBOARD = dict(zip("ℝℕℤℚℂ𝔼ℙ", "RNZQCEP", strict=True))
