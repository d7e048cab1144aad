"""The way out: C-STORE to destinations, one delivery row per object and destination."""
