"""Certificates: issued, shaped, held against the matrices that ship, and turned into a verdict."""
