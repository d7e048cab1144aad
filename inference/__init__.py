"""Pixels in, numbers out. Nothing here knows a network peer, a database or a clock."""
