"""What environments cost: the ledger that is kept of them, and the report that is made of it."""
