"""What an encoder is worth for other tasks."""
