"""Models, chips or layouts side by side, `centime plan compare`.

`compare` answers a `CompareRequest` by planning the training and the serving of each column.
"""
