"""Thin command-line scripts; importable only for what the scripts share."""
