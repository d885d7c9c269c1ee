"""Our keys, prices and metering in front of another server: vLLM, SGLang, llama-server. Start reading at `app.py`.

A request becomes a `ForwardedCall` (`forwarded_call.py`), which reads the answer as it passes and is charged for it.
"""
