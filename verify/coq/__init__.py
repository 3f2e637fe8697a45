"""Exports certificates as Coq theorems and compiles them with coqc."""
