"""The ledger of findings about published statements."""
