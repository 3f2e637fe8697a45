"""Judges linear attention that others trained or built: which descent it is, or how far from one."""
