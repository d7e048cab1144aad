"""Trying a picture out: looked at in a process of its own, shown for a while, and forgotten.

desk.py    the one place of the web server's that asks; bounds time, starts and ends the process
child.py   that process: one line of JSON in, one out; bounds its own memory
looking.py what it does with a file: the look of `measure`, and what a page shows of it
source.py  a picture without a header becomes an object that reports can refer to
sweep.py   a still becomes a cine
shelf.py   where results lie until they are forgotten, or are kept because somebody asked for it
"""
