"""Masks in, numbers with intervals out; and the small checkpoint that leaves the house."""
