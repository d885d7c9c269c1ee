"""Chats as people have them: records of every common shape as messages, and these as text with what is trained on."""

from centime.data.chats.conversations import ChatRecord, Preference, conversation, preference
from centime.data.chats.spans import Segment, last_answer, samples

__all__ = ["ChatRecord", "Preference", "Segment", "conversation", "last_answer", "preference", "samples"]
