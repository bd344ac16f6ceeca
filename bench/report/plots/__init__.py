"""What a report draws, a file for each plot."""
