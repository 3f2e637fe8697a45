"""Predictors that a trained transformer is compared with: trivial, fitted to the prompt, or built."""
