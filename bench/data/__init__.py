"""Data: a spec of the suite in, arrays out."""

from bench.data.prepare import files_for, prepare, stand_ins_for

__all__ = ["files_for", "prepare", "stand_ins_for"]
