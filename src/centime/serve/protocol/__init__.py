"""What clients may send, field by field, in the words of OpenAI, DeepSeek and Anthropic.

`structured_output.py` says which grammar a request holds its answer to; what is sent back is written in `api`.
"""
