// Attention of single tokens over pages, and of prompts over what is before them.
#include <numeric>

#include "checks.h"

namespace checks {
namespace {

void all_ones(const std::vector<centime_bf16> &numbers) {
  for (centime_bf16 number : numbers) check(number == ONE, "the mean of ones is not one");
}

// A prompt's last `rows` tokens; heads stand further apart than they are long.
void of_prompts(int64_t rows, int64_t past, int64_t group) {
  constexpr int64_t KEY_HEADS = 2, WIDTH = 18, VALUES = 35, APART = WIDTH + 3;
  const int64_t heads = KEY_HEADS * group, all = past + rows;
  const std::vector<centime_bf16> q(rows * heads * APART, ONE), k(all * KEY_HEADS * APART, ONE);
  const std::vector<centime_bf16> v(all * KEY_HEADS * VALUES, ONE);
  const centime_heads queries{q.data(), rows, heads, WIDTH, heads * APART, APART};
  const centime_heads keys{k.data(), all, KEY_HEADS, WIDTH, KEY_HEADS * APART, APART};
  const centime_heads values{v.data(), all, KEY_HEADS, VALUES, KEY_HEADS * VALUES, VALUES};
  std::vector<centime_bf16> out(rows * heads * VALUES);
  centime_causal_attention(&queries, &keys, &values, 0.1f, out.data());
  all_ones(out);
}

// Queries that look back on 1, 2, .. entries in pages of 4 that lie backwards, the last one on more than one thread takes.
void of_tokens(int64_t queries, int64_t group) {
  constexpr int64_t KEY_HEADS = 2, WIDTH = 19, ENTRY = 2 * KEY_HEADS * WIDTH, LATENT = 33, PAGE = 4, LONGEST = 300;
  const int64_t heads = KEY_HEADS * group;
  const std::vector<centime_bf16> q(queries * heads * ENTRY, ONE), pages(LONGEST * PAGE * ENTRY, ONE);
  std::vector<int64_t> tables(queries * LONGEST), lengths(queries);
  for (int64_t i = 0; i < queries * LONGEST; ++i) tables[i] = LONGEST - 1 - i % LONGEST;
  std::iota(lengths.begin(), lengths.end(), 1);
  if (queries) lengths.back() = LONGEST * PAGE;
  const centime_past past{pages.data(), tables.data(), lengths.data(), PAGE, LONGEST};
  std::vector<centime_bf16> grouped(queries * heads * WIDTH), latent(queries * heads * LATENT);
  centime_grouped_attention(q.data(), queries, heads, KEY_HEADS, WIDTH, 0.1f, &past, grouped.data());
  centime_latent_attention(q.data(), queries, heads, ENTRY, LATENT, 0.1f, &past, latent.data());
  all_ones(grouped);
  all_ones(latent);
}

}  // namespace

void attention(int64_t rows) {
  of_prompts(rows, 0, 1);
  of_prompts(rows, 130, 3);  // past a chunk
  of_tokens(rows / 10, 1);
  of_tokens(rows / 20, 17);  // more heads than a panel of rows takes
}

}  // namespace checks
