"""Whatever is written for a person to keep: whole or absent, by one writer at a time, over nothing that is not ours.

durable.py    one file, whole or not at all, on the disk before it has its name
leftovers.py  the names of what is being written, and what killed writers left under such names
lock.py       one writer a folder, held by the kernel
marks.py      which folders centime wrote, and what in them it did not
places.py     whether two paths are one place, and whether a folder holds what a command reads
folder.py     one folder, whole or not at all
"""
