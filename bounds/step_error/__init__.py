"""The error of one gradient step: what causes it, what bounds it, and how the tolerance is spent."""
