"""The HTTP API that OpenAI, DeepSeek and Anthropic clients speak (`serve` extra). Start reading at `app.py`.

A request becomes a `Call` (`call.py`), which runs the engine, is charged, and writes its answer whole or as a stream.
"""
