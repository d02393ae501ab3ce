"""The phases of a reconcile: each looks, lets a pure function decide, acts, and says how far it got."""
