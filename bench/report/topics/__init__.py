"""What a report tells of, a file for each topic."""
