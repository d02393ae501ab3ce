"""The command `airfield`, which is also `kubectl airfield`: preview, explain and watch environments."""
