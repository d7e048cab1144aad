"""The parts of the console, one module each."""
