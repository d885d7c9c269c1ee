"""Answering with a model: over HTTP (`api`), in front of another server (`gateway`), or here and now (`offline`).

From the bottom up: `kv_cache` keeps what was computed and `engine` computes answers, which `grammar` holds to a form;
`replicas` are several engines behind a router. `accounts` knows who may ask and what it costs. Of `http`, `protocol`,
`formats` and `pages` the two applications are made.
"""
