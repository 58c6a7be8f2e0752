"""Augmentation: geometry and brightness of a training image, and a sheet of pictures of them."""
