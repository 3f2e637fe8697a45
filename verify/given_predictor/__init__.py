"""Judging any predictor by what it answers: no proof is possible, so everything here is measured."""
