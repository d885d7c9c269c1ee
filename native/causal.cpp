// Causal attention of pieces of prompts: rows of queries against keys and values of the same sequence.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "attention.h"
#include "centime.h"
#include "pool.h"

namespace centime {
namespace {

constexpr int64_t TOGETHER = 8;  // panels of queries that meet a chunk in turns, while a cache holds it

// `count` rows of one head, one behind the other, and zeros up to `filled`.
void gather(const bf16 *first, const centime_heads &from, int64_t count, int64_t filled, bf16 *to) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * from.width, first + i * from.row_stride, from.width * sizeof(bf16));
  std::memset(to + count * from.width, 0, (filled - count) * from.width * sizeof(bf16));
}

const bf16 *at_row(const centime_heads &of, int64_t row, int64_t head) {
  return of.numbers + row * of.row_stride + head * of.head_stride;
}

struct Causal {
  const centime_heads &q, &keys, &values;
  float scale;
  bf16 *out;

  // Query heads of a key head, and queries that it meets: those of a position together.
  const int64_t group = q.heads / keys.heads, queries = q.rows * group;

  int64_t seen_by(int64_t query) const { return keys.rows - q.rows + query / group + 1; }

  // Queries first .. end of a key head.
  void attend(int64_t head, int64_t first, int64_t end) const {
    const Kernels &kernel = kernels();
    Meeting meet(kernel, q.width, values.width, scale);
    const int64_t panels = panels_of(end - first), most = seen_by(end - 1);
    std::unique_ptr<bf16[]> packed(new bf16[panels * q.width * PANEL]());
    std::unique_ptr<bf16[]> value_rows(new bf16[CHUNK * values.width]),
        value_panels(new bf16[meet.value_panels() * CHUNK * PANEL]);
    for (int64_t query = first; query < end; ++query)
      pack_query(at_row(q, query / group, head * group + query % group), q.width, (query - first) % PANEL,
                 &packed[(query - first) / PANEL * q.width * PANEL]);
    std::vector<Found> found(panels, Found(meet.value_panels()));
    for (int64_t at = 0; at < most; at += CHUNK) {
      const int64_t some = std::min(CHUNK, most - at), filled = filled_up(some);
      gather(at_row(values, at, head), values, some, filled, value_rows.get());
      kernel.interleave(value_rows.get(), values.width, filled, values.width, value_panels.get());
      meet.take({at_row(keys, at, head), keys.row_stride, value_panels.get(), some, filled});
      for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t query = first + panel * PANEL, lanes = std::min<int64_t>(PANEL, end - query);
        int64_t seen[PANEL];
        for (int64_t lane = 0; lane < lanes; ++lane) seen[lane] = seen_by(query + lane) - at;
        if (seen[lanes - 1] > 0)
          meet(&packed[panel * q.width * PANEL], lanes, seen[0] < some ? seen : nullptr, found[panel]);
      }
    }
    for (int64_t query = first; query < end; ++query) {
      combine(kernel, {&found[(query - first) / PANEL]}, (query - first) % PANEL, values.width,
              out + (query / group * q.heads + head * group + query % group) * values.width);
    }
  }
};

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_causal_attention(const centime_heads *q, const centime_heads *keys, const centime_heads *values,
                                         float scale, bf16 *out) {
  const Causal call{*q, *keys, *values, scale, out};
  const int64_t step = TOGETHER * PANEL, pieces = (call.queries + step - 1) / step;
  shared(keys->heads * pieces, [&](int64_t piece) {
    // the last queries see most: they come first, so that no thread is left with a long piece at the end
    const int64_t first = (pieces - 1 - piece / keys->heads) * step;
    call.attend(piece % keys->heads, first, std::min(first + step, call.queries));
  });
}
