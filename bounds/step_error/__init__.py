"""The error of one gradient step: its sources, its bounds, and how the tolerance is divided among them."""
