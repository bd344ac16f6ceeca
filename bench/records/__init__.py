"""What is known of a cell: its record, the metrics in it, the store and the exports that hold it."""

from pathlib import Path

DEFAULT_PATH = Path(".twinbench") / "results.sqlite"
"""The store of a command, or of `bench.run`, that names none."""
