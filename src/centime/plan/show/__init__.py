"""How a plan is shown, whatever it says: as text in a terminal, as a page with charts, in English or French.

A report makes `sections`; nothing that computes imports this room.
"""
