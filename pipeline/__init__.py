"""The pretraining run: configuration, batches, the loop, checkpoints, tracking."""
