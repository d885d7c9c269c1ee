"""What `--help` of each verb shows as examples; tests/cli parses every one of them."""

from __future__ import annotations

# verb -> commands that work as they stand, given the folders they name.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "train": (
        "centime train recipes/tiny.toml",
        "centime train recipes/tiny.toml --set train.lr=3e-4 --budget 10m",
        "centime train runs/tiny --resume",
    ),
    "plan train": (
        "centime plan train --model deepseek-v3 --tokens 14.8T --gpu h800 --gpus 2048",
        "centime plan train --model deepseek-v3 --tokens 14.8T --gpu h100 --gpus 4096 --price '$2/h' --json",
        "centime plan train --model deepseek-v2-lite --tokens 2T --deadline 30d",
    ),
    "plan serve": (
        "centime plan serve --model deepseek-v3 --gpu h800 --gpus 2224 --isl 4989 --osl 1000",
        "centime plan serve --model deepseek-v3 --gpu h800 --demand 608B-in/day,168B-out/day,hit=0.563",
    ),
    "plan explain": ("centime plan explain v3-h800 llama-405b-h100",),
    "plan diff": (
        "centime plan diff v3-h800 v3-h20",
        "centime plan diff old.toml new.toml --gpu h800 --gpus 64 --fail-over 5% --markdown",
    ),
    "plan lifetime": ("centime plan lifetime --quality-of deepseek-v3 --served-tokens 100T",),
    "plan fleet": (
        "centime plan fleet --scenario deepseek-day6",
        "centime plan fleet --scenario deepseek-day6 --years 1 --html fleet.html",
    ),
    "plan budget": ("centime plan budget --capex '80B$' --gpu gb200",),
    "plan compare": ("centime plan compare --models deepseek-v3 --chips h800,h100,h20 --gpus 2048 --tokens 14.8T",),
    "plan frontier": ("centime plan frontier --model deepseek-v3 --chips h200,b200,mi300x",),
    "plan breakeven": ("centime plan breakeven --model deepseek-v3 --gpu h200 --api deepseek-v3.2",),
    "plan check": ("centime plan check runs.csv",),
    "plan rerun": ("centime plan rerun card.json",),
    "calibrate": ("centime calibrate", "centime calibrate --out machine.json --json"),
    "bill": (
        "centime bill",
        "centime bill runs/quickstart --json",
        "centime bill --by team,user --month 2026-11",
        "centime bill --reprice 2026-11-01",
        "centime bill --import http://localhost:8000/metrics --device H100 --devices 8",
    ),
    "serve": (
        "centime serve runs/quickstart",
        "centime serve --upstream http://localhost:8080 --upstream-device H100",
    ),
    "meter": ("centime meter --engine http://localhost:8000 --price '$2.10/h x 8' --for 1h",),
    "catalogue price": (
        "centime catalogue price deepseek-v4-pro --at 2026-08-22T16:00Z",
        "centime catalogue price deepseek-flash --hit 900000 --miss 100000 --output 20000",
    ),
    "catalogue update": (
        "centime catalogue update",
        "centime catalogue update --source skypilot",
        "centime catalogue update --source epoch --from ml_hardware.csv",
    ),
    "catalogue vectors": ("centime catalogue vectors",),
    "keys add": ("centime keys add alice --budget '$5' --price-list deepseek-v4.1-flash",),
    "keys list": ("centime keys list --json",),
    "keys revoke": ("centime keys revoke alice",),
    "keys top-up": ("centime keys top-up alice '$5'",),
    "keys rotate": ("centime keys rotate alice --overlap 24",),
    "keys expire": ("centime keys expire alice 2027-01-31", "centime keys expire alice never"),
    "keys backup": ("centime keys backup ledger-copy.db",),
    "keys restore": ("centime keys restore ledger-copy.db",),
    "keys move": ("centime keys move alice acme/research",),
    "budgets add": (
        "centime budgets add acme '$1000' --per month --zone Europe/Paris --webhook https://hooks.example/budget",
        "centime budgets add acme/research/user:* '$2' --per day",
    ),
    "users export": ("centime users export bob --out bob.csv",),
    "users erase": ("centime users erase bob",),
    "budgets show": ("centime budgets show",),
    "budgets change": ("centime budgets change acme '$1500' --alert 80,100",),
    "budgets remove": ("centime budgets remove acme --per month",),
    "generate": (
        "centime generate runs/quickstart --prompt 'def main('",
        "centime generate runs/quickstart --chat --prompt '12+34=' --temperature 0",
        "cat question.txt | centime generate runs/quickstart --json",
    ),
    "chat": ("centime chat runs/quickstart --temperature 0",),
    "data prepare": (
        "centime data prepare src --tokenizer tok --out data",
        "centime data prepare 'src/**/*.py' docs --tokenizer tok --out data --holdout 0.05",
        "centime data prepare texts.jsonl --field content --tokenizer tok --out data",
    ),
    "data show": ("centime data show data --json",),
    "data check": ("centime data check data --tokenizer tok",),
    "tokenizer train": ("centime tokenizer train src --out tok --vocab-size 4096",),
    "tokenizer show": ("centime tokenizer show tok 'def main():'",),
    "model show": ("centime model show deepseek-v3", "centime model show runs/quickstart --json"),
    "model list": ("centime model list",),
    "export": (
        "centime export runs/quickstart --gguf model.gguf --dtype f16",
        "centime export runs/tuned --merge --hf merged",
    ),
    "quantise": (
        "centime quantise runs/quickstart small --format int8",
        "centime quantise runs/quickstart small --format int8 --experts int4",
        "centime quantise runs/quickstart small --format int4 --calibrate README.md",
    ),
    "evaluate": (
        "centime evaluate runs/quickstart README.md",
        "centime evaluate runs/quickstart data/holdout --no-compressors --json",
    ),
    "doctor": ("centime doctor", "centime doctor --json"),
    "quickstart": ("centime quickstart", "centime quickstart --text my-notes --budget 5m"),
}
