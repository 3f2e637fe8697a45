"""The zoo: small models whose every part is known, with certified errors, for work on interpretability."""
