"""The HTTP API that OpenAI, DeepSeek and Anthropic clients speak (`serve` extra). Start reading at `app.py`."""
