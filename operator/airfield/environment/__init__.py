"""One environment: a file per concern, each deciding from facts alone. Only controller.py and ensure/ do anything."""
