"""Excerpts in the formats of the public catalogues, and a server on this machine that has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HEAD = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Region,SpotPrice,Price,AvailabilityZone,GpuInfo\n"
RUNPOD = HEAD + (
    "1x_H100_SECURE,H100,1.0,8.0,94.0,US,1.5,1.99,US-1,\"{'Gpus': [{'Name': 'H100 PCIe', 'Count': 1}]}\"\n"
    "1x_H100-SXM_SECURE,H100-SXM,1.0,16.0,125.0,US,2.0,2.69,US-1,\"{'Gpus': [{'Name': 'H100 SXM', 'Count': 1}]}\"\n"
    "8x_H100-SXM_SECURE,H100-SXM,8.0,128.0,1000.0,IN,16.0,21.52,IN-1,\"{'Gpus': [{'Name': 'H100 SXM', 'Count': 8}]}\"\n"
    "1x_A4000_SECURE,A4000,1.0,9.0,50.0,US,0.2,0.4,US-1,\"{'Gpus': [{'Name': 'A4000', 'Count': 1}]}\"\n"
    "1x_A4000_COMMUNITY,A4000,1.0,9.0,50.0,US,0.2,0.35,US-1,\"{'Gpus': [{'Name': 'A4000', 'Count': 1}]}\"\n"
)
# other columns, in another order, as the clouds' tables have them
LAMBDA = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice\n"
    "cpu_4x_general,,,4.0,16.0,0.2,us-east-1,,\n"
    "gpu_8x_h100_sxm5,H100,8.0,208.0,1800.0,31.92,us-east-1,,\n"
    "gpu_1x_h100_pcie,H100,1.0,26.0,200.0,3.29,us-east-1,,\n"
    "gpu_8x_h100_sxm5,H100,8.0,208.0,1800.0,,us-west-1,,9.1\n"
    "gpu_8x_a100,A100,8.0,124.0,1800.0,10.32,us-east-1,\"{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]}\",\n"
    "gpu_8x_a100_80gb,A100,8.0,240.0,1800.0,14.32,us-east-1,\"{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]}\",\n"
    "gpu_1x_gh200,GH200,1.0,64.0,432.0,1.99,us-east-3,,\n"
)
# a machine and its accelerators on lines of their own, slices of TPUs whole, and 700 where there are none
GCP = (
    "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice\n"
    "a3-highgpu-8g,208.0,1872.0,,,,us-east4,us-east4-a,9.46006,2.15966\n"
    ",,,H100,8.0,H100,us-east4,us-east4-a,78.8,14.9\n"
    ",,,tpu-v6e-16,1,tpu-v6e-16,us-east1,us-east1-d,43.2,8.70733\n"
    ",,,tpu-v6e-16,1,tpu-v6e-16,us-central2,us-central2-b,700.0,700.0\n"
    ",,,tpu-v5p-8,1,tpu-v5p-8,us-east5,us-east5-a,16.8,4.2\n"
    ",,,tpu-v2-8,1,tpu-v2-8,us-central1,us-central1-b,4.5,1.35\n"
)
LITELLM = json.dumps(
    {
        "sample_spec": {"mode": "one of: chat, embedding", "input_cost_per_token": 0.0},
        "deepseek/deepseek-v4-pro": {
            "cache_read_input_token_cost": 4.4e-08,
            "input_cost_per_token": 1.32e-06,
            "litellm_provider": "deepseek",
            "mode": "chat",
            "output_cost_per_token": 3.96e-06,
        },
        "deepseek-v4-pro": {"input_cost_per_token": 9e-06, "mode": "chat", "output_cost_per_token": 9e-06},
        "gpt-6-luna": {
            "cache_read_input_token_cost": 9e-09,
            "input_cost_per_token": 9e-08,
            "input_cost_per_token_above_272k_tokens": 1.8e-07,
            "litellm_provider": "openai",
            "mode": "chat",
            "output_cost_per_token": 4.5e-07,
        },
        "them/Plain": {
            "input_cost_per_token": 2e-07,
            "litellm_provider": "them",
            "mode": "chat",
            "output_cost_per_token": 4e-07,
        },
        "1024-x-1024/dall-e-2": {"input_cost_per_pixel": 1.9e-08, "mode": "image_generation"},
        "them/free": {"input_cost_per_token": 0.0, "mode": "chat", "output_cost_per_token": 0.0},
    }
)
EPOCH = (
    "Hardware name,Manufacturer,Type,Release date,Release price (USD),TDP (W)\n"
    "NVIDIA H100 PCIe,NVIDIA,GPU,2022-09-20,29000,350\n"
    "NVIDIA H100 SXM5 80GB,NVIDIA,GPU,2022-09-20,33600.0,700\n"
    "NVIDIA Tesla T4,NVIDIA,GPU,2018-09-13,2295,70\n"
    "NVIDIA GeForce GTX 1080 Ti,NVIDIA,GPU,2017-03-10,699,250\n"
    "Google TPU v4,Google,TPU,2021-05-20,,192\n"
)
FILES = {
    "/sky/runpod/vms.csv": RUNPOD,
    "/sky/lambda/vms.csv": LAMBDA,
    "/sky/gcp/vms.csv": GCP,
    "/litellm.json": LITELLM,
    "/epoch.csv": EPOCH,
}


class Catalogues:
    """A server with FILES. answers: path -> (status, body) where another answer is wanted; cut: paths whose answers end
    before what they announced."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.cut: set[str] = set()


@contextmanager
def catalogues() -> Iterator[Catalogues]:
    """The server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            there = FILES.get(self.path)
            status, body = made.answers.get(self.path, (404, b"none") if there is None else (200, there.encode()))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path in made.cut else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Catalogues(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
