"""What aiconfigurator says of rows of published serving speeds; run with the Python that has it installed.

    python -m venv PEER && PEER/bin/pip install aiconfigurator
    PEER/bin/python benchmarks/aiconfigurator_rows.py ROWS.csv > ESTIMATES.csv

Rows of units of both phases that state model, chip, engine, layout, lengths and clients are asked, at the newest
version of the engine whose tables the package has. A row that it does not answer is left out.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import os
import re
import sys
import warnings
from pathlib import Path

SYSTEMS = {"h100_sxm", "h200_sxm", "b200_sxm", "gb200"}
ENGINES = {"trtllm": "trtllm", "vllm": "vllm", "sglang": "sglang"}
QUANTS = {"fp8": ("fp8_block", "fp8_block"), "fp4": ("nvfp4", "nvfp4"), "": ("bfloat16", "bfloat16")}
QUANTS["bf16"] = QUANTS[""]


def asked(row: dict[str, str]) -> dict[str, object] | None:
    """The arguments of aiconfigurator's estimate, None where the row states too little."""
    layout = re.fullmatch(r"agg TP(\d+) PP(\d+) attnDP(\d+) moeTP(\d+) EP(\d+) bs(\d+)", row["config"].strip())
    engine = ENGINES.get(row["engine"].split(" ")[0])
    if not layout or row["gpu"] not in SYSTEMS or engine is None or not row["concurrency_or_batch"]:
        return None
    tp, pp, dp, moe_tp, ep, batch = map(int, layout.groups())
    if ep > 1 and moe_tp == ep and tp * dp == ep**2:  # degrees of the same chips, multiplied by the table
        tp, dp, moe_tp = (ep, 1, 1) if dp == 1 else (1, ep, 1)
    gemm, moe = QUANTS.get(row["precision"], (None, None))
    if row["model"] == "openai/gpt-oss-120b":
        gemm, moe = "bfloat16", "w4a16_mxfp4"
    return {
        "model_path": row["model"], "system_name": row["gpu"], "backend_name": engine, "isl": int(row["isl"]),
        "osl": int(row["osl"]), "batch_size": batch, "tp_size": tp, "pp_size": pp, "attention_dp_size": dp,
        "moe_tp_size": moe_tp, "moe_ep_size": ep, "gemm_quant_mode": gemm, "moe_quant_mode": moe,
    }  # fmt: skip


def main() -> None:
    """Ask every row; write id, tpot_ms and ttft_ms of those that are answered."""
    from aiconfigurator.cli.api import cli_estimate

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out = csv.writer(sys.stdout)
    out.writerow(["id", "tpot_ms", "ttft_ms"])
    reasons: dict[str, int] = {}
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            question = asked(row)
            if question is None:
                continue
            try:
                with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
                    found = cli_estimate(**question)
                out.writerow([row["id"], found.tpot, found.ttft])
            except Exception as error:  # whatever a peer raises: it does not answer
                reason = f"{type(error).__name__}: {str(error)[:100]}"
                reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1])[:10]:
        print(count, reason, file=sys.stderr)


if __name__ == "__main__":
    main()
