"""Searches for large errors: where prompts come from, and how they are pushed to the worst."""
