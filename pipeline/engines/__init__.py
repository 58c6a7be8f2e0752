"""What moves the weights: one process, DDP, or DeepSpeed's ZeRO, behind one interface."""
