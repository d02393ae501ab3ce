"""The table of values in a chart's README, out of the comments in its values.yaml."""
