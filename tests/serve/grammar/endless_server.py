"""A process that compiles a quick grammar, says so, and then one that takes for ever."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.serve.grammar.drawing import WIDTH
from tests.serve.grammar.test_compilers import endless, quick

from centime.data.tokenizers import load_tokenizer
from centime.serve.grammar.constraint import Grammars


async def compiling(folder: Path) -> None:
    grammars = Grammars(load_tokenizer(folder), WIDTH, seconds=600)
    await grammars.obtain(quick(0))
    print("ready", flush=True)
    await grammars.obtain(endless(0))


def main() -> None:
    asyncio.run(compiling(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
