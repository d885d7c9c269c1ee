// A panel of queries meets a chunk of what it looks back on: scores, an online softmax (arXiv 2205.14135, algorithm 1),
// the weighted values. Both kinds of attention, of single tokens and of prompts, are made of such meetings.
#pragma once

#include <memory>
#include <vector>

#include "kernels.h"

namespace centime {

constexpr int64_t CHUNK = 128;  // entries that are scored and summed at a time, while a cache of a core holds them

constexpr int64_t panels_of(int64_t count) { return (count + PANEL - 1) / PANEL; }
constexpr int64_t filled_up(int64_t count) { return panels_of(count) * PANEL; }

// Entries: keys in rows `stride` numbers apart, values in panels whose inputs are the entries, `filled` of them, and
// then zeros.
struct Chunk {
  const bf16 *keys;
  int64_t stride;
  const bf16 *values;
  int64_t count, filled;
};

// What each query of a panel found: the largest score, the sum of the weights, and the weighted values.
struct Found {
  alignas(64) float largest[PANEL], sum[PANEL] = {};
  std::vector<float> context;  // [PANEL, value panels, PANEL]

  explicit Found(int64_t value_panels);
};

class Meeting {
 public:
  Meeting(const Kernels &kernel, int64_t width, int64_t values, float scale);

  int64_t value_panels() const { return value_panels_; }

  // queries: a panel of them, of which the first `lanes` count. seen: how many of the chunk's entries each of those
  // may see, ascending, the last at least 1; null where that is all of them.
  void operator()(const bf16 *queries, int64_t lanes, const Chunk &chunk, const int64_t *seen, Found &found);

 private:
  const Kernels &kernel_;
  const int64_t width_, value_panels_, rows_;
  const float scale_;
  std::unique_ptr<float[][PANEL]> scores_;
  std::unique_ptr<bf16[]> weights_;
};

// Query `lane` [width] as one of a panel of `width` inputs.
void pack_query(const bf16 *query, int64_t width, int64_t lane, bf16 *panel);

}  // namespace centime
