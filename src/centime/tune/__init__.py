"""Reinforcement with verifiable rewards: answers drawn, graded, and learned from.

problems     what is asked
rewards      what an answer is worth; sandbox, where programs of a model's run
sampling     from problems to graded groups, by the roll-out engine
policy_loss  GRPO and its kin as settings of one function, and advantage.py, what a reward is worth in its group
objective    that loss on the training engine
stage        all of it as a stage of a recipe, and on-policy distillation as another
"""
