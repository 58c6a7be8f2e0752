"""Tensors in, tensors out: the segmenters, their weights and their objectives."""
