"""The service: network, database and clock live here and nowhere else."""

__version__ = "0.1.0"
