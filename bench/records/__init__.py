"""What is known of a cell: its record, the metrics in it, the store and the exports that hold it."""
