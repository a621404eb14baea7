"""Whole runs: what a recipe's configuration means, from places to a model folder."""
