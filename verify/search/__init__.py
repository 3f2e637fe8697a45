"""Searches for large step errors: sources of prompts, random sweeps, and adversarial attacks."""
