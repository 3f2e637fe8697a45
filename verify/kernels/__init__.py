"""Attention kernels: prompts drawn for them, and the family of functional descent judged."""
