"""Keras 3 on its engines: TensorFlow, JAX and torch."""
