"""What is declared, and what it resolves to."""
