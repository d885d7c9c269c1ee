// Attention over pages of keys and values: the query heads of a group against the ones that they share.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "attention.h"
#include "centime.h"
#include "pool.h"

namespace centime {
namespace {

struct Grouped {
  const Kernels &kernel;
  const bf16 *q;
  int64_t heads, key_heads, width;
  float scale;
  const centime_past &past;

  const int64_t group = heads / key_heads, stored = filled_up(width);

  // Some heads of a key head, at most a panel of them, over a query's entries first .. end.
  Found attend(int64_t query, int64_t key_head, int64_t first_head, int64_t lanes, int64_t first, int64_t end) const {
    Found found(panels_of(width));
    std::unique_ptr<float[]> rows(new float[lanes * stored]()), wide(new float[lanes * CHUNK]);
    std::unique_ptr<bf16[]> keys(new bf16[CHUNK * stored]()), values(new bf16[CHUNK * stored]()),
        weights(new bf16[PANEL * CHUNK]);
    std::unique_ptr<float[][PANEL]> scores(new float[CHUNK][PANEL]());
    for (int64_t lane = 0; lane < lanes; ++lane)
      for (int64_t i = 0; i < width; ++i) rows[lane * stored + i] = widen(q[(first_head + lane) * width + i]);
    for (int64_t at = first; at < end; at += CHUNK) {
      const int64_t some = std::min(CHUNK, end - at);
      for (int64_t i = 0; i < some; ++i) {
        const bf16 *key = entry_of(past, query, at + i, 2 * key_heads * width) + key_head * width;
        std::memcpy(&keys[i * stored], key, width * sizeof(bf16));
        std::memcpy(&values[i * stored], key + key_heads * width, width * sizeof(bf16));
      }
      kernel.row_scores(rows.get(), lanes, keys.get(), some, stored, scores.get());
      alignas(64) float shrink[PANEL];
      kernel.soften(scores.get(), some, filled_up(some), scale, found.largest, found.sum, shrink, weights.get(), CHUNK);
      for (int64_t lane = 0; lane < lanes; ++lane)
        for (int64_t i = 0; i < some; ++i) wide[lane * CHUNK + i] = widen(weights[lane * CHUNK + i]);
      kernel.row_mix(wide.get(), lanes, CHUNK, shrink, values.get(), some, stored, found.context.data());
    }
    return found;
  }
};

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_grouped_attention(const bf16 *q, int64_t queries, int64_t heads, int64_t key_heads,
                                          int64_t width, float scale, const centime_past *past, bf16 *out) {
  const Kernels &kernel = kernels();
  const std::vector<int64_t> start = splits(past->lengths, queries);
  const int64_t group = heads / key_heads, panels = panels_of(group), parts = key_heads * panels;
  std::vector<Found> found(start[queries] * parts, Found(0));
  shared(start[queries] * parts, [&](int64_t piece) {
    const int64_t split = piece / parts, part = piece % parts, key_head = part / panels, lane = part % panels * PANEL;
    const int64_t n = std::upper_bound(start.begin(), start.end(), split) - start.begin() - 1;
    const int64_t first = (split - start[n]) * SPLIT, end = std::min(first + SPLIT, past->lengths[n]);
    const Grouped call{kernel, q + n * heads * width, heads, key_heads, width, scale, *past};
    found[piece] = call.attend(n, key_head, key_head * group + lane, std::min<int64_t>(PANEL, group - lane), first, end);
  });
  for (int64_t n = 0; n < queries; ++n)
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t part = head / group * panels + head % group / PANEL;
      std::vector<const Found *> pieces;
      for (int64_t split = start[n]; split < start[n + 1]; ++split) pieces.push_back(&found[split * parts + part]);
      combine(kernel, pieces, head % group % PANEL, width, out + (n * heads + head) * width);
    }
}
