"""Measuring a cell: clock, steps, passes, memory, cost, kernels."""
