"""What clients may send, field by field, in the words of OpenAI, DeepSeek and Anthropic."""
