"""One optimizer step on a cluster in a layout: seconds by part, memory by kind, and how far off both may be.

`predict_step` is the way in; the constants that the step was fitted with are in `constants.json`.
"""
