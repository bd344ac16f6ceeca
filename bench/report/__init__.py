"""Reports: one place that turns results into frames, then one file per format."""
