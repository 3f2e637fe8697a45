"""Functions of one real variable: their formulas, enclosures and approximations by sums of ReLUs."""
