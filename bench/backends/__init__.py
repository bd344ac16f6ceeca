"""Backends: one module each; the only place that imports a framework."""
