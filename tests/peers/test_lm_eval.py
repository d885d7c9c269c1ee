"""EleutherAI's lm-evaluation-harness scores a served model, and gets what the model's own forward pass gives.

The harness brings some sixty packages, so it lives in an environment of its own, `.venv-lm-eval`, which `make lm-eval`
makes; CENTIME_LM_EVAL names the Python of another. Its tasks are the test's own: nothing is downloaded.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.serve.api.running import running

from centime.serve.api.service import Service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS: list[dict[str, Any]] = [
    {"question": "the cat sat on", "choices": [" the mat", " the hat", " 猫🙂"], "answer": 0},
    {"question": "the dog ate ", "choices": ["the hat", "the cat sat on the mat"], "answer": 1},
    {"question": "def f(x):", "choices": [" return x", " x", "\n return f"], "answer": 0},
    {"question": "é ü =", "choices": [" 012", " é", "🙂"], "answer": 2},
]
TEXTS = [{"text": "the cat sat on the mat and the dog ate the hat"}, {"text": "猫は眠る 🙂 é ü\n\ndef f(x): return x"}]
CHOOSE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc"}],
}
PERPLEXITY = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "bits_per_byte"}],
}
WRITE = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[0]}}",
    "generation_kwargs": {"until": ["t"], "max_gen_toks": 12, "do_sample": False},
    "metric_list": [{"metric": "exact_match"}],
}


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python that has the harness."""
    found = Path(os.environ.get("CENTIME_LM_EVAL") or ROOT / ".venv-lm-eval" / "bin" / "python")
    if not found.exists():
        pytest.skip("no lm-evaluation-harness: `make lm-eval` installs it")
    return found.absolute()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    with running(tmp_path_factory.mktemp("served"), step_tokens=64) as found:
        yield found


def write_task(folder: Path, name: str, documents: list[Any], task: dict[str, Any]) -> None:
    """A task of the harness (YAML takes JSON) over documents beside it."""
    lines = folder / f"{name}.jsonl"
    lines.write_text("".join(json.dumps(document) + "\n" for document in documents))
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(lines)}}, "test_split": "test"}
    (folder / f"{name}.yaml").write_text(json.dumps({"task": name, **data, **task}))


def run(command: list[str], home: Path, text: str = "") -> str:
    """Standard output of a command of the harness, which has no network."""
    offline = {"HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        command, env={**os.environ, **offline}, input=text, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def evaluate(python: Path, served: tuple[str, Service], folder: Path, runs: list[dict[str, Any]]) -> list[Any]:
    """What the harness heard in each run: {"samples": by task, "results": by task}."""
    model = {"model": "small", "base_url": f"{served[0]}/v1/completions", "tokenizer_backend": "huggingface"}
    model["tokenizer"] = str(served[1].tokenizer.folder)
    described = [{"batch_size": 3, "limit": None, **one, "model_args": {**model, **one["model_args"]}} for one in runs]
    out = run(
        [str(python), str(Path(__file__).with_name("harness_run.py")), str(folder)], folder, json.dumps(described)
    )
    found: list[Any] = json.loads(out[out.index('[{"samples"') :])  # the harness prints, too
    assert len(found) == len(runs)
    return found


def score(serving: Service, context: list[int], answer: list[int]) -> tuple[float, bool]:
    """The log-likelihood of `answer` after `context` by one plain pass, and whether greedy decoding would write it."""
    with torch.inference_mode():
        model = serving.engine.model  # type: ignore[attr-defined]
        after = model(torch.tensor([context + answer]))[0].float().log_softmax(-1)[len(context) - 1 : -1]
    return float(after[range(len(answer)), answer].sum()), after.argmax(-1).tolist() == answer


def split(serving: Service, context: str, answer: str) -> tuple[list[int], list[int]]:
    """The tokens of the two as the harness cuts them: blanks that end the context are the answer's."""
    kept = context.rstrip()
    answer = context[len(kept) :] + answer
    whole, part = serving.tokenizer.encode(kept + answer), serving.tokenizer.encode(kept)
    return [begin(serving), *part], whole[len(part) :]


def begin(serving: Service) -> int:
    assert serving.tokenizer.bos_id is not None
    return serving.tokenizer.bos_id


def rolling(serving: Service, ids: list[int], window: int) -> float:
    """The log-likelihood of a text in windows of so many tokens, the last of them reaching back into the one before."""
    total = score(serving, [begin(serving)], ids[:window])[0]
    for start in range(window, len(ids), window):
        end = min(start + window, len(ids))
        total += score(serving, ids[end - window - 1 : start], ids[start:end])[0]
    return total


def greedy(serving: Service, prompt: list[int], most: int, stop: str) -> str:
    """The likeliest answer by plain passes, one a token."""
    ids = list(prompt)
    while len(ids) < len(prompt) + most and stop not in serving.tokenizer.decode(ids[len(prompt) :]):
        with torch.inference_mode():
            token = int(serving.engine.model(torch.tensor([ids]))[0, -1].argmax())  # type: ignore[attr-defined]
        if token == serving.tokenizer.eos_id:
            break
        ids.append(token)
    return serving.tokenizer.decode(ids[len(prompt) :]).split(stop)[0]


def check_choices(serving: Service, samples: list[Any]) -> float:
    """Every likelihood that the harness was told, against the plain pass; how many answers are right."""
    right = 0
    for sample in samples:
        document, scores = sample["doc"], []
        for answer, told in zip(document["choices"], sample["told"], strict=True):
            context, continuation = split(serving, document["question"], answer)
            wanted, greedy = score(serving, context, continuation)
            assert float(told[0]) == pytest.approx(wanted, abs=1e-4 * len(continuation))
            assert told[1] == greedy
            scores.append(wanted)
        right += scores.index(max(scores)) == document["answer"]
    return right / len(samples)


def test_the_harness_hears_what_our_own_pass_says(python: Path, served: tuple[str, Service], tmp_path: Path) -> None:
    serving = served[1]
    write_task(tmp_path, "choose", QUESTIONS, CHOOSE)
    write_task(tmp_path, "write", QUESTIONS, WRITE)
    write_task(tmp_path, "perplexity", TEXTS, PERPLEXITY)
    asked = ["choose", "write"]
    runs = evaluate(
        python, served, tmp_path,
        [
            {"tasks": asked, "model_args": {"add_bos_token": True}},
            {"tasks": asked, "model_args": {"add_bos_token": True, "tokenized_requests": False}},
            {"tasks": asked, "model_args": {"add_bos_token": True, "num_concurrent": 4}, "batch_size": 1},
            {"tasks": ["perplexity"], "model_args": {"max_length": 24}},  # the harness cuts texts into such windows
            {"tasks": ["perplexity"], "model_args": {"tokenized_requests": False}},
        ],
    )  # fmt: skip
    for found in runs[:3]:
        assert found["results"]["choose"]["acc,none"] == check_choices(serving, found["samples"]["choose"])
        for sample in found["samples"]["write"]:
            ids = [begin(serving), *serving.tokenizer.encode(sample["doc"]["question"])]
            assert sample["told"] == [greedy(serving, ids, 12, stop="t")]
    for found, window in zip(runs[3:], (22, 2046), strict=True):
        for sample in found["samples"]["perplexity"]:
            ids = serving.tokenizer.encode(sample["doc"]["text"])
            assert float(sample["told"][0]) == pytest.approx(rolling(serving, ids, window), abs=1e-4 * len(ids))


def multiple_choice(shared: Path) -> dict[str, list[dict[str, Any]]]:
    """A few questions of ARC-Challenge and of MMLU, in the form of QUESTIONS."""
    arc: dict[str, dict[str, Any]] = {}
    for line in (shared / "data/tasks/arc/arc_challenge_val.jsonl").read_text().splitlines():
        one = json.loads(line)
        question = arc.setdefault(one["question"], {"question": one["question"], "choices": [], "answer": 0})
        question["answer"] = len(question["choices"]) if one["label"] else question["answer"]
        question["choices"].append(f" {one['answer']}")
    with (shared / "data/tasks/mmlu/test/astronomy_test.csv").open(newline="") as file:
        mmlu = [
            {
                "question": f"Question: {row['question']}\nAnswer:",
                "choices": [f" {row[f'choice{number}']}" for number in range(4)],
                "answer": int(row["answer"]),
            }
            for row in csv.DictReader(file)
        ]
    return {"arc": list(arc.values())[:8], "mmlu": mmlu[:8]}


def test_the_harness_on_published_tasks(
    python: Path, served: tuple[str, Service], shared: Path, tmp_path: Path
) -> None:
    if not (shared / "data" / "tasks").is_dir():
        pytest.skip("the shared data has no tasks")
    tasks = multiple_choice(shared)
    for name, questions in tasks.items():
        write_task(tmp_path, name, questions, CHOOSE)
    sums = (shared / "data/tasks/gsm8k/test.jsonl").read_text().splitlines()[:6]
    write_task(tmp_path, "gsm8k", [{"text": json.loads(line)["answer"]} for line in sums], PERPLEXITY)
    chosen, texts = evaluate(
        python, served, tmp_path,
        [
            {"tasks": list(tasks), "model_args": {"add_bos_token": True}, "batch_size": 16},
            {"tasks": ["gsm8k"], "model_args": {}, "batch_size": 4},
        ],
    )  # fmt: skip
    serving = served[1]
    for name in tasks:
        assert chosen["results"][name]["acc,none"] == check_choices(serving, chosen["samples"][name])
    for sample in texts["samples"]["gsm8k"]:
        ids = serving.tokenizer.encode(sample["doc"]["text"])
        assert float(sample["told"][0]) == pytest.approx(rolling(serving, ids, 2046), abs=1e-4 * len(ids))


def test_the_command_that_the_docs_give(python: Path, served: tuple[str, Service], tmp_path: Path) -> None:
    documented = re.search(r"```\n(lm_eval run .*?)\n```", (ROOT / "docs" / "evaluate.md").read_text(), re.DOTALL)
    assert documented
    write_task(tmp_path, "choose", QUESTIONS, CHOOSE)
    text = documented[1].replace("\\\n", " ").replace("http://127.0.0.1:8000", served[0])
    for name, here in {"MODEL": str(served[1].tokenizer.folder), "NAME": "small", "TASKS": "choose"}.items():
        text = re.sub(rf"\b{name}\b", here, text)
    command = [str(python.parent / "lm_eval"), *shlex.split(text)[1:], "--include_path", str(tmp_path)]
    out = run([*command, "--output_path", str(tmp_path / "out"), "--log_samples"], tmp_path)
    assert "|choose" in out
    (file,) = (tmp_path / "out").glob("**/samples_choose_*.jsonl")
    samples = sorted((json.loads(line) for line in file.read_text().splitlines()), key=lambda one: one["doc_id"])
    told = [
        {"doc": one["doc"], "told": [(value, str(greedy) == "True") for value, greedy in one["filtered_resps"]]}
        for one in samples
    ]
    check_choices(served[1], told)
