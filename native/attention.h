// A panel of queries meets a chunk of what it looks back on: scores, an online softmax (arXiv 2205.14135, algorithm 1),
// the weighted values. Both kinds of attention, of single tokens and of prompts, are made of such meetings.
#pragma once

#include <memory>
#include <vector>

#include "matrix.h"

namespace centime {

constexpr int64_t CHUNK = 128;  // entries that are scored and summed at a time, while a cache of a core holds them

constexpr int64_t SPLIT = 1024;  // entries of a query that one thread takes: by the length alone, for the same bits

// Where each query's pieces of SPLIT entries begin, and the last one's end.
std::vector<int64_t> splits(const int64_t *lengths, int64_t queries);

inline const bf16 *entry_of(const centime_past &past, int64_t query, int64_t number, int64_t width) {
  const int64_t page = past.tables[query * past.longest + number / past.page];
  return past.pages + (page * past.page + number % past.page) * width;
}

constexpr int64_t panels_of(int64_t count) { return (count + PANEL - 1) / PANEL; }
constexpr int64_t filled_up(int64_t count) { return panels_of(count) * PANEL; }

// Entries: their keys in rows `stride` numbers apart, at most CHUNK; their values in panels whose inputs are the entries,
// `filled` of them, the last ones zeros.
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

  // Takes a chunk, which panels of queries then meet.
  void take(const Chunk &chunk);

  // queries: a panel of them, of which the first `lanes` count. seen: how many of the chunk's entries each of those
  // may see, ascending, the last at least 1; null where that is all of them.
  void operator()(const bf16 *queries, int64_t lanes, const int64_t *seen, Found &found);

 private:
  const Kernels &kernel_;
  const int64_t width_, value_panels_, rows_;
  const float scale_;
  std::unique_ptr<float[][PANEL]> scores_;
  std::unique_ptr<bf16[]> weights_;
  Chunk chunk_;
  const char *keys_;     // of the chunk, as products take rows
  int64_t keys_stride_;  // bytes
  std::unique_ptr<char[]> wide_keys_;
  std::unique_ptr<float[]> wide_weights_;
};

// The parts of what a query of a panel saw put together: each counts by e to the power of its largest score.
void combine(const Kernels &kernel, const std::vector<const Found *> &parts, int64_t lane, int64_t values, bf16 *out);

// Query `lane` [width] as one of a panel of `width` inputs.
void pack_query(const bf16 *query, int64_t width, int64_t lane, bf16 *panel);

}  // namespace centime
