"""`make demo`: the whole of Airfield on this machine, from nothing to a DAG that has succeeded."""
