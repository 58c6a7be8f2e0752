"""A page on this machine that segments an image by clicks."""
