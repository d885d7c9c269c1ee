"""Speed for a user against tokens of a chip, for many chips at once, `centime plan frontier`.

`plan_frontier` answers a `FrontierRequest`: the curves, the layouts behind them, their memory and their launch lines.
"""
