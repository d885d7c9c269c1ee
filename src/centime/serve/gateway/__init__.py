"""Our keys, prices and metering in front of another server: vLLM, SGLang, llama-server. Start reading at `app.py`."""
