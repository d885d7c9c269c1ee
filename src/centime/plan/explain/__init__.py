"""Why two training runs differ in cost, `centime plan explain`: their ratio split into causes.

`explain` takes the cases of two runs (`training.case`) and answers with Shapley values of what differs between them.
"""
