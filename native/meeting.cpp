// One chunk of what is looked back on, and a panel of queries.
#include <algorithm>
#include <cmath>

#include "attention.h"

namespace centime {

Found::Found(int64_t value_panels) : context(PANEL * value_panels * PANEL) {
  std::fill(largest, largest + PANEL, -INFINITY);
}

Meeting::Meeting(const Kernels &kernel, int64_t width, int64_t values, float scale)
    : kernel_(kernel),
      width_(width),
      value_panels_(panels_of(values)),
      rows_(kernel.rows[CENTIME_BF16]),
      scale_(scale),
      scores_(new float[CHUNK][PANEL]),
      weights_(new bf16[PANEL * CHUNK]) {}

void Meeting::operator()(const bf16 *queries, int64_t lanes, const Chunk &chunk, const int64_t *seen, Found &found) {
  const Product product = kernel_.product[CENTIME_BF16];
  const int64_t count = seen ? std::min(seen[lanes - 1], chunk.count) : chunk.count, filled = filled_up(count);
  for (int64_t i = 0; i < count; i += rows_)
    product(queries, width_, chunk.keys + i * chunk.stride, chunk.stride * sizeof(bf16), std::min(rows_, count - i),
            &scores_[i]);
  for (int64_t lane = 0; seen && lane < lanes; ++lane)
    for (int64_t i = std::max<int64_t>(seen[lane], 0); i < count; ++i) scores_[i][lane] = -INFINITY;
  alignas(64) float shrink[PANEL];
  kernel_.soften(scores_.get(), count, filled, scale_, found.largest, found.sum, shrink, weights_.get(), CHUNK);
  for (int64_t lane = 0; seen && lane < lanes; ++lane)  // what softening left of them is not nothing, but next to it
    for (int64_t i = std::max<int64_t>(seen[lane], 0); i < count; ++i) weights_[lane * CHUNK + i] = 0;
  alignas(64) float sums[MOST_ROWS][PANEL];
  for (int64_t panel = 0; panel < value_panels_; ++panel)
    for (int64_t lane = 0; lane < lanes; lane += rows_) {
      const int64_t some = std::min(rows_, lanes - lane);
      product(chunk.values + panel * chunk.filled * PANEL, filled, &weights_[lane * CHUNK], CHUNK * sizeof(bf16), some,
              sums);
      for (int64_t l = 0; l < some; ++l) {
        float *to = &found.context[((lane + l) * value_panels_ + panel) * PANEL];
        for (int o = 0; o < PANEL; ++o) to[o] = to[o] * shrink[lane + l] + sums[l][o];
      }
    }
}

void pack_query(const bf16 *query, int64_t width, int64_t lane, bf16 *panel) {
  for (int64_t i = 0; i < width; ++i) panel[i / 2 * 2 * PANEL + lane * 2 + i % 2] = query[i];
}

}  // namespace centime
