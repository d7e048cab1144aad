"""The storage SCP: who may send, what is taken, and how an object becomes safe before it is acknowledged."""
