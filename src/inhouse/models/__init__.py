"""Models: the catalogue, pulling and reading their files, what they need in memory, how fast they decode."""
