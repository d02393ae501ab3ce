"""The resources: their fields, bounds and rules. Imports nothing else of Airfield."""
