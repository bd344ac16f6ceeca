"""Measuring: parameters, machine, memory, clock, kernels."""
