// The experts of a layer in one call: rows sorted by expert, then two shared loops over panels.
#include <algorithm>
#include <numeric>
#include <vector>

#include "centime.h"
#include "matrix.h"
#include "pool.h"

namespace centime {

namespace {

struct Sorted {  // pairs (row, choice) by expert: those of expert e are places start[e] .. start[e + 1] - 1
  std::vector<int64_t> start, row;
  std::vector<float> weight;
};

Sorted sorted(const int64_t *experts, const float *gates, int64_t rows, int64_t chosen, int64_t count) {
  Sorted out;
  out.start.assign(count + 1, 0);
  for (int64_t p = 0; p < rows * chosen; ++p)
    if (experts[p] >= 0 && experts[p] < count) ++out.start[experts[p] + 1];
  std::partial_sum(out.start.begin(), out.start.end(), out.start.begin());
  std::vector<int64_t> next(out.start);
  out.row.resize(out.start[count]);
  out.weight.resize(out.start[count]);
  for (int64_t p = 0; p < rows * chosen; ++p) {
    if (experts[p] < 0 || experts[p] >= count) continue;
    const int64_t place = next[experts[p]]++;
    out.row[place] = p / chosen;
    out.weight[place] = gates[p];
  }
  return out;
}

struct Visit {  // of one expert: `count` rows, from `first` on in x
  Matrix gate_up, down;
  const Rows &x;
  int64_t first, count;
  const int64_t *row;   // where they go; null: row i to row i
  const float *weight;  // null: 1
  int64_t acts;         // where their activations begin

  int64_t padded() const { return gate_up.gated_count() * HALF; }
};

void activate(const Kernels &kernel, const std::vector<Visit> &visits, bf16 *acts) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < visits.size(); ++i)
    cut(pieces, i, visits[i].gate_up.gated_count(), visits[i].gate_up.bytes(), visits[i].count);
  shared(pieces.size(), [&](int64_t number) {
    alignas(64) float sums[MOST_ROWS][PANEL];
    const auto &[which, begin, end] = pieces[number];
    const Visit &visit = visits[which];
    const Matrix &matrix = visit.gate_up;
    for (int64_t row = 0; row < visit.count; row += matrix.rows(kernel))  // a cache keeps them while panels pass
      for (int64_t panel = begin; panel < end; ++panel) {
        const int some = std::min<int64_t>(visit.count - row, matrix.rows(kernel));
        kernel.products[matrix.kind].of(matrix.panel(panel), matrix.inputs, visit.x.row(visit.first + row),
                                    visit.x.stride(), some, sums);
        for (int r = 0; r < some; ++r)
          kernel.gated(sums[r], acts + visit.acts + (row + r) * visit.padded() + panel * HALF);
      }
  });
}

void sum_up(const Kernels &kernel, const std::vector<Visit> &visits, const bf16 *acts, int64_t rows, int64_t width,
            bf16 *y) {
  std::vector<Rows> inputs;
  inputs.reserve(visits.size());
  int64_t bytes = 0, places = 0;
  for (const Visit &visit : visits) {
    inputs.emplace_back(kernel, visit.down, acts + visit.acts, visit.count, visit.padded());
    bytes += visit.down.bytes();
    places += visit.count;
  }
  const int64_t several = std::max<int64_t>(visits.size(), 1), each = places / several;
  std::vector<Piece> pieces;
  cut(pieces, 0, (width + PANEL - 1) / PANEL, each > MOST_ROWS ? bytes / several : bytes, each);
  shared(pieces.size(), [&](int64_t number) {
    alignas(64) float sums[MOST_ROWS][PANEL];
    const auto &[which, begin, end] = pieces[number];
    std::vector<float> total((end - begin) * rows * PANEL);
    for (size_t i = 0; i < visits.size(); ++i) {
      const Visit &visit = visits[i];
      const Matrix &matrix = visit.down;
      for (int64_t place = 0; place < visit.count; place += matrix.rows(kernel)) {
        const int some = std::min<int64_t>(visit.count - place, matrix.rows(kernel));
        for (int64_t panel = begin; panel < end; ++panel) {
          kernel.products[matrix.kind].of(matrix.panel(panel), matrix.inputs, inputs[i].row(place), inputs[i].stride(),
                                      some, sums);
          for (int r = 0; r < some; ++r) {
            const int64_t row = visit.row ? visit.row[place + r] : place + r;
            float *to = &total[((panel - begin) * rows + row) * PANEL];
            const float weight = visit.weight ? visit.weight[place + r] : 1.0f;
            for (int o = 0; o < PANEL; ++o) to[o] += weight * sums[r][o];
          }
        }
      }
    }
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * PANEL, some = std::min<int64_t>(width - first, PANEL);
      for (int64_t row = 0; row < rows; ++row)
        kernel.narrow(&total[((panel - begin) * rows + row) * PANEL], y + row * width + first, some);
    }
  });
}

}  // namespace

void feed(const Kernels &kernel, const Feeding &layer, const bf16 *x, int64_t rows, const int64_t *experts,
          const float *gates, int64_t chosen, bf16 *y) {
  const int64_t width = layer.gate_up.inputs;
  const Rows plain(kernel, layer.gate_up, x, rows, width);
  const Sorted places = sorted(experts, gates, experts ? rows : 0, chosen, layer.experts);
  const Rows taken(plain, places.row.data(), places.row.size());
  std::unique_ptr<const Rows> other;  // for a shared expert whose matrices are of another kind
  std::vector<Visit> visits;
  int64_t acts = 0;
  const auto visit = [&](const Matrix &gate_up, const Matrix &down, const Rows &of, int64_t first, int64_t count,
                         bool sorted) {
    visits.push_back({gate_up, down, of, first, count, sorted ? &places.row[first] : nullptr,
                      sorted ? &places.weight[first] : nullptr, acts});
    acts += count * visits.back().padded();
  };
  if (!experts) visit(layer.gate_up, layer.down, plain, 0, rows, false);
  for (int64_t e = 0; experts && e < layer.experts; ++e)
    if (const int64_t first = places.start[e], count = places.start[e + 1] - first; count)
      visit(layer.gate_up.of(e, layer.gate_up.gated_count()), layer.down.of(e, layer.down.count()), taken, first, count,
            true);
  if (layer.shared_gate_up) {
    if (layer.shared_gate_up->whole() != layer.gate_up.whole())
      other.reset(new Rows(kernel, *layer.shared_gate_up, x, rows, width));
    visit(*layer.shared_gate_up, *layer.shared_down, other ? *other : plain, 0, rows, false);
  }
  std::unique_ptr<bf16[]> room(new bf16[acts]);
  activate(kernel, visits, room.get());
  sum_up(kernel, visits, room.get(), rows, width, y);
}

}  // namespace centime

using namespace centime;

extern "C" void centime_experts(const bf16 *x, int64_t rows, const int64_t *experts, const float *gates, int64_t chosen,
                                const centime_matrix *gate_up, const centime_matrix *down, int64_t count, bf16 *y) {
  feed(kernels(), {*gate_up, *down, count, nullptr, nullptr}, x, rows, experts, gates, chosen, y);
}
