"""Certificates: their format, how they are issued, checked, and compared with the literal matrices."""
