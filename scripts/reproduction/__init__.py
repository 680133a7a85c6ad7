"""What `scripts/reproduce.py` is made of: the systems, one fit, the report and its pictures."""
