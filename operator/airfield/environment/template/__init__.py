"""Values templates: the sandbox that renders one, and the process in which classes' own ones are rendered."""
