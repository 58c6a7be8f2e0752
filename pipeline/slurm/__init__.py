"""Chains of Slurm jobs: their scripts, their submission, and what runs on each machine."""
