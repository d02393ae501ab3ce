"""PostgreSQL: databases and roles of environments on a server that an environment class names."""
