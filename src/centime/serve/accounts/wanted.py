"""What a request could cost: a prompt at its dearest, and so many tokens of output, fewer of which may do."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.tariffs import TokenPrices


@dataclass(frozen=True)
class Wanted:
    """Amounts in pico-units: `prompt` of all its prompts, every token a miss; `token` of one of output.

    tokens: of output at most, of all answers together; least: with how many of them it is still worth running.
    """

    prompt: int
    token: int
    tokens: int
    least: int

    @property
    def most(self) -> int:
        """What it costs with all its tokens."""
        return self.of(self.tokens)

    def of(self, tokens: int) -> int:
        """What it costs with so many tokens of output."""
        return self.prompt + self.token * tokens

    def within(self, pico: int) -> int | None:
        """How many of its tokens so much money pays; None where they are too few, or not even the prompt is paid."""
        if self.most <= pico:
            return self.tokens
        if not self.token or self.of(self.least) > pico:
            return None
        return min(self.tokens, (pico - self.prompt) // self.token)


NOTHING = Wanted(0, 0, 0, 0)  # of a request that nothing is known of yet


def wanted(amounts: TokenPrices, prompt_tokens: int, max_tokens: int, least: int | None = None) -> Wanted:
    """What a request with so many tokens wants at these prices. least None: all of its tokens or none."""
    return Wanted(
        prompt_tokens * amounts.dearest_input,
        amounts.output,
        max_tokens,
        max_tokens if least is None else min(least, max_tokens),
    )
