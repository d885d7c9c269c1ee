// The routed experts of a layer in one call: rows sorted by expert, then two shared loops over panels.
#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "centime.h"
#include "kernels.h"
#include "pool.h"

namespace centime {

namespace {

struct Visit {  // of an expert: which pairs (row, choice) come to it, as places in `Sorted`
  int64_t expert, first, end;
};

struct Sorted {
  std::vector<Visit> visits;
  std::vector<int64_t> row;   // by place
  std::vector<float> weight;  // by place
};

Sorted sorted(const int64_t *experts, const float *gates, int64_t rows, int64_t chosen, int64_t count) {
  Sorted out;
  if (!experts) {
    out.visits.push_back({0, 0, rows});
    out.row.resize(rows);
    std::iota(out.row.begin(), out.row.end(), 0);
    out.weight.assign(rows, 1.0f);
    return out;
  }
  std::vector<int64_t> start(count + 1, 0);
  for (int64_t p = 0; p < rows * chosen; ++p)
    if (experts[p] >= 0 && experts[p] < count) ++start[experts[p] + 1];
  for (int64_t e = 0; e < count; ++e) {
    if (start[e + 1]) out.visits.push_back({e, start[e], start[e] + start[e + 1]});
    start[e + 1] += start[e];
  }
  out.row.resize(start[count]);
  out.weight.resize(start[count]);
  for (int64_t p = 0; p < rows * chosen; ++p) {
    if (experts[p] < 0 || experts[p] >= count) continue;
    const int64_t place = start[experts[p]]++;
    out.row[place] = p / chosen;
    out.weight[place] = gates[p];
  }
  return out;
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_experts(const bf16 *x, int64_t rows, int64_t width, const int64_t *experts, const float *gates,
                                int64_t chosen, const bf16 *gate_up, const bf16 *down, int64_t count, int64_t inner,
                                bf16 *y) {
  const Kernels &kernel = kernels();
  const Sorted plan = sorted(experts, gates, rows, chosen, count);
  const int64_t visits = plan.visits.size(), gated_panels = (inner + HALF - 1) / HALF, padded = gated_panels * HALF;
  std::unique_ptr<bf16[]> acts(new bf16[plan.row.size() * padded]), taken(new bf16[plan.row.size() * width]);
  for (size_t place = 0; place < plan.row.size(); ++place)
    std::memcpy(&taken[place * width], x + plan.row[place] * width, width * sizeof(bf16));

  const int64_t step = panels_a_piece(gated_panels * visits, width / 2, plan.row.size() / std::max<int64_t>(visits, 1));
  const int64_t pieces = (gated_panels + step - 1) / step;
  shared(visits * pieces, [&](int64_t i) {
    const Visit &visit = plan.visits[i / pieces];
    const int64_t end = std::min((i % pieces + 1) * step, gated_panels);
    alignas(64) float sums[MOST_ROWS][PANEL];
    for (int64_t panel = i % pieces * step; panel < end; ++panel)
      for (int64_t place = visit.first; place < visit.end; place += kernel.rows) {
        const int some = std::min<int64_t>(visit.end - place, kernel.rows);
        kernel.product(gate_up + (visit.expert * gated_panels + panel) * width * PANEL, width / 2,
                       &taken[place * width], width, some, sums);
        for (int r = 0; r < some; ++r) kernel.gated(sums[r], &acts[(place + r) * padded + panel * HALF]);
      }
  });

  const int64_t panels = (width + PANEL - 1) / PANEL;
  const auto sum_panel = [&](int64_t panel) {
    const int64_t first = panel * PANEL, some_outputs = std::min<int64_t>(width - first, PANEL);
    alignas(64) float sums[MOST_ROWS][PANEL];
    std::vector<float> total(rows * PANEL, 0.0f);
    for (const Visit &visit : plan.visits)
      for (int64_t place = visit.first; place < visit.end; place += kernel.rows) {
        const int some = std::min<int64_t>(visit.end - place, kernel.rows);
        kernel.product(down + (visit.expert * panels + panel) * inner * PANEL, inner / 2, &acts[place * padded], padded,
                       some, sums);
        for (int r = 0; r < some; ++r) {
          float *to = &total[plan.row[place + r] * PANEL];
          for (int o = 0; o < PANEL; ++o) to[o] += plan.weight[place + r] * sums[r][o];
        }
      }
    for (int64_t row = 0; row < rows; ++row) kernel.narrow(&total[row * PANEL], y + row * width + first, some_outputs);
  };
  const int64_t some = panels_a_piece(panels, visits * inner / 2, plan.row.size() / std::max<int64_t>(visits, 1));
  shared((panels + some - 1) / some, [&](int64_t piece) {
    for (int64_t panel = piece * some; panel < std::min((piece + 1) * some, panels); ++panel) sum_panel(panel);
  });
}
