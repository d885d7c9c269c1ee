"""Training: the rooms, from the bottom up, and the way of a batch through them.

stages      what is trained on: a recipe as stages, the schedule of each, the rows of each step
optimizers  how weights move: AdamW, or Muon for the matrices beside it
engine      one training step, on one device or on many
forecast    what a run will take: timed steps, memory, money, budgets
folder      what it leaves on disk: files, checkpoints, where a stopped run goes on
run         a whole run: checks, the loop over the steps of each stage, evaluations, samples, the saved model
report      the page that is made of a run's folder

A batch is made by `stages.batches` (the rows that `stages.schedule` names, read by data.loader), cut into micro-batches
by `engine.step`, and given to the engine, which runs `engine.loss` forward and backward for each; `engine.step` clips
and updates, and `run.loop`, which asked for the step, books it, records it, and saves a checkpoint when one is due.
"""
