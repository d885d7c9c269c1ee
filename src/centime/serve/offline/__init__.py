"""Answers without a server: a session, a conversation over it, and what each answer cost."""
