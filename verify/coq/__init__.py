"""Certificates as Coq theorems, and what coqc makes of them."""
