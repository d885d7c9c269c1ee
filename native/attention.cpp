// Attention over pages of latents: every head of a query against one shared key, the entry that was kept of a token.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "centime.h"
#include "kernels.h"
#include "pool.h"

namespace centime {
namespace {

constexpr int64_t CHUNK = 128;   // entries that are scored and summed at a time, while a cache of a core holds them
constexpr int64_t SPLIT = 1024;  // entries of a query that one thread takes: by the length alone, for the same bits

// What one piece found: of each head the largest score, the sum of the weights, and the weighted entries.
struct Partial {
  std::vector<float> largest, sum, context;
};

struct Call {
  const Kernels &kernel;
  int64_t heads, width, latent;
  float scale;

  const int64_t rows = kernel.rows[CENTIME_BF16];
  void product(const bf16 *panel, int64_t inputs, const bf16 *x, int64_t stride, int64_t count,
               float (*out)[PANEL]) const {
    kernel.product[CENTIME_BF16](panel, inputs, x, stride * sizeof(bf16), count, out);
  }

  int64_t head_panels() const { return (heads + PANEL - 1) / PANEL; }
  int64_t latent_panels() const { return (latent + PANEL - 1) / PANEL; }
};

// The queries of all heads [heads, width] as panels of 32 heads.
void pack_heads(const bf16 *q, const Call &call, bf16 *panels) {
  std::memset(panels, 0, call.head_panels() * call.width * PANEL * sizeof(bf16));
  for (int64_t head = 0; head < call.heads; ++head)
    for (int64_t i = 0; i < call.width; ++i)
      panels[(head / PANEL * (call.width / 2) + i / 2) * 2 * PANEL + head % PANEL * 2 + i % 2] =
          q[head * call.width + i];
}

// A query's pass over some of its entries, whose rows `entry(i)` finds.
template <typename Entry>
Partial attend(const Call &call, const bf16 *heads_in_panels, int64_t first, int64_t end, Entry &&entry) {
  const int64_t head_panels = call.head_panels(), lanes = head_panels * PANEL, latent_panels = call.latent_panels();
  Partial out{std::vector<float>(lanes, -INFINITY), std::vector<float>(lanes),
              std::vector<float>(lanes * latent_panels * PANEL)};
  std::unique_ptr<bf16[]> rows(new bf16[CHUNK * call.width]), panels(new bf16[latent_panels * CHUNK * PANEL]),
      weights(new bf16[lanes * CHUNK]);
  std::unique_ptr<float[][PANEL]> scores(new float[CHUNK][PANEL]);
  alignas(64) float sums[MOST_ROWS][PANEL];
  for (int64_t at = first; at < end; at += CHUNK) {
    const int64_t some = std::min(CHUNK, end - at), filled = (some + PANEL - 1) / PANEL * PANEL;
    for (int64_t i = 0; i < some; ++i)
      std::memcpy(&rows[i * call.width], entry(at + i), call.width * sizeof(bf16));
    std::memset(&rows[some * call.width], 0, (filled - some) * call.width * sizeof(bf16));
    call.kernel.interleave(rows.get(), call.width, filled, call.latent, panels.get());
    for (int64_t group = 0; group < head_panels; ++group) {
      for (int64_t i = 0; i < some; i += call.rows)
        call.product(heads_in_panels + group * call.width * PANEL, call.width, &rows[i * call.width], call.width,
                     std::min(call.rows, some - i), &scores[i]);
      const int64_t lane = group * PANEL;
      alignas(64) float shrink[PANEL];
      call.kernel.soften(scores.get(), some, filled, call.scale, &out.largest[lane], &out.sum[lane], shrink,
                         &weights[lane * CHUNK], CHUNK);
      const int64_t heads = std::min<int64_t>(PANEL, call.heads - lane);
      for (int64_t panel = 0; panel < latent_panels; ++panel)
        for (int64_t head = 0; head < heads; head += call.rows) {
          const int64_t count = std::min(call.rows, heads - head);
          call.product(&panels[panel * filled * PANEL], filled, &weights[(lane + head) * CHUNK], CHUNK, count, sums);
          for (int64_t h = 0; h < count; ++h) {
            float *to = &out.context[((lane + head + h) * latent_panels + panel) * PANEL];
            for (int o = 0; o < PANEL; ++o) to[o] = to[o] * shrink[head + h] + sums[h][o];
          }
        }
    }
  }
  return out;
}

// The parts of a query's past put together: each counts by e to the power of its largest score.
void combine(const Call &call, const Partial *parts, int64_t count, bf16 *out) {
  std::vector<float> total(call.latent_panels() * PANEL);
  for (int64_t head = 0; head < call.heads; ++head) {
    float largest = -INFINITY, sum = 0.0f;
    for (int64_t i = 0; i < count; ++i) largest = std::max(largest, parts[i].largest[head]);
    std::fill(total.begin(), total.end(), 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      const float share = std::exp(parts[i].largest[head] - largest);
      const float *from = &parts[i].context[head * total.size()];
      sum += share * parts[i].sum[head];
      for (size_t o = 0; o < total.size(); ++o) total[o] += share * from[o];
    }
    for (float &one : total) one /= sum;
    call.kernel.narrow(total.data(), out + head * call.latent, call.latent);
  }
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_latent_attention(const bf16 *q, int64_t queries, int64_t heads, int64_t width, int64_t latent,
                                         float scale, const centime_past *past, bf16 *out) {
  const bf16 *const pages = past->pages;
  const int64_t *const tables = past->tables, *const lengths = past->lengths;
  const int64_t page = past->page, longest = past->longest;
  const Call call{kernels(), heads, width, latent, scale};
  std::vector<int64_t> start(queries + 1, 0);
  for (int64_t n = 0; n < queries; ++n) start[n + 1] = start[n] + (lengths[n] + SPLIT - 1) / SPLIT;
  std::vector<Partial> parts(start[queries]);
  shared(start[queries], [&](int64_t piece) {
    const int64_t n = std::upper_bound(start.begin(), start.end(), piece) - start.begin() - 1;
    const int64_t first = (piece - start[n]) * SPLIT, end = std::min(first + SPLIT, lengths[n]);
    const int64_t *table = tables + n * longest;
    std::unique_ptr<bf16[]> panels(new bf16[call.head_panels() * width * PANEL]);
    pack_heads(q + n * heads * width, call, panels.get());
    parts[piece] = attend(call, panels.get(), first, end,
                          [&](int64_t i) { return pages + (table[i / page] * page + i % page) * width; });
    if (start[n + 1] - start[n] > 1) return;
    combine(call, &parts[piece], 1, out + n * heads * latent);
    parts[piece] = Partial();
  });
  for (int64_t n = 0; n < queries; ++n)
    if (start[n + 1] - start[n] > 1) combine(call, &parts[start[n]], start[n + 1] - start[n], out + n * heads * latent);
}
