"""twinbench: the same documented model, twinned across Keras and PyTorch, proven equal, then measured."""
