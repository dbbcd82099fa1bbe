"""A pretend EHR for the demo: synthetic patients on this machine, and a sign-in that asks for nothing. It starts nowhere else."""
