"""Answers without a server: a session, a conversation over it, and what each answer cost.

What `centime generate`, `centime chat`, the samples of training and generated benchmarks are made with.
"""
