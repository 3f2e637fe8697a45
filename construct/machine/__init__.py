"""The machine: its devices, its memory and its files."""
