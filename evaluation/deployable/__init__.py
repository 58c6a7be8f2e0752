"""From a segmenter to a folder that stands alone: exported, gated, measured, described."""
