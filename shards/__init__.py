"""Raw ultrasound datasets to tar shards, and shards to a resumable stream of samples."""
