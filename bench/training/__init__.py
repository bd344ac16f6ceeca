"""One training protocol for every backend."""
