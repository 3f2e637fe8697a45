"""The ledger: findings about published statements, as data, and the code that computes them again."""
