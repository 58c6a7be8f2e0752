"""What measures speed and memory: each module one command that prints a table."""
