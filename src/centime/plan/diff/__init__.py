"""What a change costs, `centime plan diff`: two training runs, serving plans or fleets, and the difference by cause.

`sides` reads what a person names as the inputs of a plan, `training` and `swapped` split the difference between two of
them, `plan` holds it against a limit.
"""
