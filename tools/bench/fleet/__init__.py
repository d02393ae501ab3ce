"""A fleet of N environments on simulated nodes: the floor, the operator, and other ways to do the same."""
