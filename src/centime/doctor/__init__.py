"""`centime doctor`: what this copy of centime finds on this machine, what is missing, and the command that mends it."""
