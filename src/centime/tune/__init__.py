"""Reinforcement with verifiable rewards: answers drawn, graded, and learned from.

policy_loss  GRPO and its kin as settings of one function, and advantage.py, what a reward is worth in its group
objective    that loss on the training engine
"""
