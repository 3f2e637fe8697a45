"""Checks of one block other than its step-error bound: properties, looping, enclosures of single prompts."""
