"""What the node remembers: object files, and the rows that know them."""
