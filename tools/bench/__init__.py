"""What Airfield costs and gains, measured on this machine: `python -m bench`."""
