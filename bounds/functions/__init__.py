"""Functions of one real variable: enclosed, and approximated by sums of ReLUs."""
