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
      rows_(kernel.products[CENTIME_BF16].rows),
      scale_(scale),
      scores_(new float[CHUNK][PANEL]),
      weights_(new bf16[PANEL * CHUNK]),
      wide_keys_(kernel.products[CENTIME_BF16].floats ? new char[CHUNK * float_row(width)] : nullptr),
      wide_weights_(kernel.products[CENTIME_BF16].floats ? new float[PANEL * CHUNK] : nullptr) {}

void Meeting::take(const Chunk &chunk) {
  chunk_ = chunk;
  keys_ = reinterpret_cast<const char *>(chunk.keys);
  keys_stride_ = chunk.stride * sizeof(bf16);
  if (!wide_keys_) return;
  for (int64_t i = 0; i < chunk.count; ++i)
    kernel_.floats(chunk.keys + i * chunk.stride,
                   reinterpret_cast<float *>(wide_keys_.get() + i * float_row(width_)), width_);
  keys_ = wide_keys_.get();
  keys_stride_ = float_row(width_);
}

void Meeting::operator()(const bf16 *queries, int64_t lanes, const int64_t *seen, Found &found) {
  const Product product = kernel_.products[CENTIME_BF16].of;
  const int64_t count = seen ? std::min(seen[lanes - 1], chunk_.count) : chunk_.count, filled = filled_up(count);
  for (int64_t i = 0; i < count; i += rows_)
    product(queries, width_, keys_ + i * keys_stride_, keys_stride_, std::min(rows_, count - i), &scores_[i]);
  for (int64_t lane = 0; seen && lane < lanes; ++lane)
    for (int64_t i = std::max<int64_t>(seen[lane], 0); i < count; ++i) scores_[i][lane] = -INFINITY;
  alignas(64) float shrink[PANEL];
  kernel_.soften(scores_.get(), count, filled, scale_, found.largest, found.sum, shrink, weights_.get(), CHUNK);
  for (int64_t lane = 0; seen && lane < lanes; ++lane)  // what softening left of them is not nothing, but next to it
    for (int64_t i = std::max<int64_t>(seen[lane], 0); i < count; ++i) weights_[lane * CHUNK + i] = 0;
  const char *weights = reinterpret_cast<const char *>(weights_.get());
  int64_t stride = CHUNK * sizeof(bf16);
  if (wide_weights_) {
    for (int64_t lane = 0; lane < lanes; ++lane)
      kernel_.floats(&weights_[lane * CHUNK], &wide_weights_[lane * CHUNK], filled);
    weights = reinterpret_cast<const char *>(wide_weights_.get());
    stride = CHUNK * sizeof(float);
  }
  alignas(64) float sums[MOST_ROWS][PANEL];
  for (int64_t panel = 0; panel < value_panels_; ++panel)
    for (int64_t lane = 0; lane < lanes; lane += rows_) {
      const int64_t some = std::min(rows_, lanes - lane);
      product(chunk_.values + panel * chunk_.filled * PANEL, filled, weights + lane * stride, stride, some, sums);
      for (int64_t l = 0; l < some; ++l) {
        float *to = &found.context[((lane + l) * value_panels_ + panel) * PANEL];
        for (int o = 0; o < PANEL; ++o) to[o] = to[o] * shrink[lane + l] + sums[l][o];
      }
    }
}

std::vector<int64_t> splits(const int64_t *lengths, int64_t queries) {
  std::vector<int64_t> start(queries + 1, 0);
  for (int64_t n = 0; n < queries; ++n) start[n + 1] = start[n] + (lengths[n] + SPLIT - 1) / SPLIT;
  return start;
}

void combine(const Kernels &kernel, const std::vector<const Found *> &parts, int64_t lane, int64_t values, bf16 *out) {
  const int64_t stored = filled_up(values);
  std::vector<float> total(stored);
  float largest = -INFINITY, sum = 0.0f;
  for (const Found *part : parts) largest = std::max(largest, part->largest[lane]);
  for (const Found *part : parts) {
    const float share = std::exp(part->largest[lane] - largest);
    sum += share * part->sum[lane];
    for (int64_t o = 0; o < stored; ++o) total[o] += share * part->context[lane * stored + o];
  }
  for (float &one : total) one /= sum;
  kernel.narrow(total.data(), out, values);
}

void pack_query(const bf16 *query, int64_t width, int64_t lane, bf16 *panel) {
  for (int64_t i = 0; i < width; ++i) panel[i / 2 * 2 * PANEL + lane * 2 + i % 2] = query[i];
}

}  // namespace centime
