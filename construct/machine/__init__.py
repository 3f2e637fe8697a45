"""The machine that work runs on: its devices, its memory and its files."""
