"""What it will cost: from a model's counts to steps, runs, serving, fleets and money. Shares only `catalogue`; never
imports torch.

One room, one idea, each built on those above it:

    counts      what a model is per token: parameters, FLOPs, bytes
    step        one optimizer step on a cluster: times, memory, intervals
    layouts     which way to split a model over the chips is the fastest
    training    a training run: `centime plan train`
    serving     what serves a demand: `centime plan serve`
    explain     why two runs differ: `centime plan explain`
    lifetime    training and serving over a life: `centime plan lifetime`
    fleet       demand over years to GPUs, power, money: `centime plan fleet`
    diff        what a change costs: `centime plan diff`
    budget      what a budget buys: `centime plan budget`
    compare     side by side: `centime plan compare`
    check       the planner against published runs: `centime plan check`
    show        how any plan is shown: terminal, page, languages

In a verb's room `plan.py` is the plan as data, `planner.py` (where it is a file of its own) computes it, and
`report.py` says what of it is shown. `verbs.py` is the table of them; `card.py` keeps a plan and `rerun.py` computes it
again.
"""
