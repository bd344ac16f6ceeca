"""A user's own Keras model and its PyTorch port: weights carried over, compared layer by layer, differences named."""
