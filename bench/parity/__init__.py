"""The proof that backends train the same model, and the rules that every backend must keep."""
