// Attention over pages of latents: every head of a query against one shared key, the entry that was kept of a token.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "attention.h"
#include "centime.h"
#include "pool.h"

namespace centime {
namespace {

// What one piece found, by panels of heads.
using Partial = std::vector<Found>;

struct Call {
  const Kernels &kernel;
  int64_t heads, width, latent;
  float scale;
};

// The queries of all heads [heads, width] as panels of 32 heads.
void pack_heads(const bf16 *q, const Call &call, bf16 *panels) {
  std::memset(panels, 0, panels_of(call.heads) * call.width * PANEL * sizeof(bf16));
  for (int64_t head = 0; head < call.heads; ++head)
    pack_query(q + head * call.width, call.width, head % PANEL, panels + head / PANEL * call.width * PANEL);
}

// A query's pass over some of its entries, whose rows `entry(i)` finds.
template <typename Entry>
Partial attend(const Call &call, const bf16 *heads_in_panels, int64_t first, int64_t end, Entry &&entry) {
  Meeting meet(call.kernel, call.width, call.latent, call.scale);
  Partial out(panels_of(call.heads), Found(meet.value_panels()));
  std::unique_ptr<bf16[]> rows(new bf16[CHUNK * call.width]), panels(new bf16[meet.value_panels() * CHUNK * PANEL]);
  for (int64_t at = first; at < end; at += CHUNK) {
    const int64_t some = std::min(CHUNK, end - at), filled = filled_up(some);
    for (int64_t i = 0; i < some; ++i)
      std::memcpy(&rows[i * call.width], entry(at + i), call.width * sizeof(bf16));
    std::memset(&rows[some * call.width], 0, (filled - some) * call.width * sizeof(bf16));
    call.kernel.interleave(rows.get(), call.width, filled, call.latent, panels.get());
    meet.take({rows.get(), call.width, panels.get(), some, filled});
    for (size_t group = 0; group < out.size(); ++group)
      meet(heads_in_panels + group * call.width * PANEL, std::min<int64_t>(PANEL, call.heads - group * PANEL), nullptr,
           out[group]);
  }
  return out;
}

// The parts of a query's past put together, head by head.
void put_together(const Call &call, const Partial *parts, int64_t count, bf16 *out) {
  std::vector<const Found *> found(count);
  for (int64_t head = 0; head < call.heads; ++head) {
    for (int64_t i = 0; i < count; ++i) found[i] = &parts[i][head / PANEL];
    combine(call.kernel, found, head % PANEL, call.latent, out + head * call.latent);
  }
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_latent_attention(const bf16 *q, int64_t queries, int64_t heads, int64_t width, int64_t latent,
                                         float scale, const centime_past *past, bf16 *out) {
  const Call call{kernels(), heads, width, latent, scale};
  const std::vector<int64_t> start = splits(past->lengths, queries);
  std::vector<Partial> parts(start[queries]);
  shared(start[queries], [&](int64_t piece) {
    const int64_t n = std::upper_bound(start.begin(), start.end(), piece) - start.begin() - 1;
    const int64_t first = (piece - start[n]) * SPLIT, end = std::min(first + SPLIT, past->lengths[n]);
    std::unique_ptr<bf16[]> panels(new bf16[panels_of(heads) * width * PANEL]);
    pack_heads(q + n * heads * width, call, panels.get());
    parts[piece] = attend(call, panels.get(), first, end,
                          [&](int64_t i) { return entry_of(*past, n, i, width); });
    if (start[n + 1] - start[n] > 1) return;
    put_together(call, &parts[piece], 1, out + n * heads * latent);
    parts[piece] = Partial();
  });
  for (int64_t n = 0; n < queries; ++n)
    if (start[n + 1] - start[n] > 1) put_together(call, &parts[start[n]], start[n + 1] - start[n], out + n * heads * latent);
}
