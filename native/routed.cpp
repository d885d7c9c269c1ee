// The experts of a layer as training computes them in float32: forward and backward, a shared loop for each step.
#include <cstring>
#include <numeric>
#include <vector>

#include "centime.h"
#include "floats.h"
#include "pool.h"

namespace centime {
namespace {

constexpr int64_t ROWS_A_PIECE = 128;

// Pairs (row, choice) by expert: those of expert e are places start[e] .. start[e + 1] - 1.
struct Sorted {
  int64_t rows, chosen;
  std::vector<int64_t> start, row;  // of a place, its row
  std::vector<int64_t> place;       // of a pair
  std::vector<float> gate;          // of a place

  Sorted(const centime_routing &of, int64_t experts)
      : rows(of.rows), chosen(of.chosen), start(experts + 1), row(rows * chosen), place(rows * chosen),
        gate(rows * chosen) {
    for (int64_t p = 0; p < rows * chosen; ++p) ++start[of.experts[p] + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    std::vector<int64_t> next(start);
    for (int64_t p = 0; p < rows * chosen; ++p) {
      place[p] = next[of.experts[p]]++;
      row[place[p]] = p / chosen;
      gate[place[p]] = of.gates[p];
    }
  }
  int64_t places() const { return rows * chosen; }
};

struct Piece {  // of an expert: some of its places
  int64_t expert, begin, end;
};

std::vector<Piece> pieces_of(const Sorted &sorted) {
  std::vector<Piece> out;
  for (int64_t e = 0; e + 1 < int64_t(sorted.start.size()); ++e)
    for (int64_t begin = sorted.start[e]; begin < sorted.start[e + 1]; begin += ROWS_A_PIECE)
      out.push_back({e, begin, std::min(begin + ROWS_A_PIECE, sorted.start[e + 1])});
  return out;
}

// to[place] = from[the place's row]
void gather(const Sorted &sorted, const Piece &piece, const float *from, int64_t width, float *to) {
  for (int64_t place = piece.begin; place < piece.end; ++place)
    std::memcpy(to + place * width, from + sorted.row[place] * width, width * sizeof(float));
}

// to[r] = the sum of the row's places, always in the order of its choices.
void sum_choices(const FloatKernels &kernel, const Sorted &sorted, const float *places, int64_t width, float *to) {
  shared((sorted.rows + ROWS_A_PIECE - 1) / ROWS_A_PIECE, [&](int64_t piece) {
    const int64_t end = std::min((piece + 1) * ROWS_A_PIECE, sorted.rows);
    for (int64_t r = piece * ROWS_A_PIECE; r < end; ++r) {
      std::memcpy(to + r * width, places + sorted.place[r * sorted.chosen] * width, width * sizeof(float));
      for (int64_t k = 1; k < sorted.chosen; ++k)
        kernel.add_floats(places + sorted.place[r * sorted.chosen + k] * width, to + r * width, width);
    }
  });
}

void forward(const FloatKernels &kernel, const centime_experts_of &of, const Sorted &sorted, const float *x, float *both,
             float *y) {
  const int64_t D = of.width, F = of.inner, E = of.count;
  const Room turned_gate_up(E * D * apart(2 * F)), turned_down(E * F * apart(D)), taken(sorted.places() * D),
      acts(sorted.places() * F), outs(sorted.places() * D);
  shared(E, [&](int64_t e) {
    if (sorted.start[e] == sorted.start[e + 1]) return;
    transpose(of.gate_up + e * 2 * F * D, 2 * F, D, D, turned_gate_up + e * D * apart(2 * F), apart(2 * F));
    transpose(of.down + e * D * F, D, F, F, turned_down + e * F * apart(D), apart(D));
  });
  const std::vector<Piece> pieces = pieces_of(sorted);
  shared(pieces.size(), [&](int64_t number) {
    const Piece &piece = pieces[number];
    gather(sorted, piece, x, D, taken);
    multiply_floats(kernel, piece.begin, piece.end, 0, 2 * F, D, {taken, D, 1},
                    turned_gate_up + piece.expert * D * apart(2 * F), apart(2 * F), both, 2 * F);
    for (int64_t place = piece.begin; place < piece.end; ++place)
      kernel.gated_floats(both + place * 2 * F, F, sorted.gate[place], acts + place * F);
    multiply_floats(kernel, piece.begin, piece.end, 0, D, F, {acts, F, 1}, turned_down + piece.expert * F * apart(D),
                    apart(D), outs, D);
  });
  sum_choices(kernel, sorted, outs, D, y);
}

void backward(const FloatKernels &kernel, const centime_experts_of &of, const Sorted &sorted, const float *x,
              const float *both, const float *grad_y, const centime_experts_slopes &to) {
  const int64_t D = of.width, F = of.inner, P = sorted.places();
  const Room taken(P * D), slopes(P * D), acts(P * F), grad_acts(P * F), grad_both(P * 2 * F), grad_taken(P * D),
      grad_gates(P);
  const std::vector<Piece> pieces = pieces_of(sorted);
  shared(pieces.size(), [&](int64_t number) {
    const Piece &piece = pieces[number];
    gather(sorted, piece, x, D, taken);
    gather(sorted, piece, grad_y, D, slopes);
    multiply_floats(kernel, piece.begin, piece.end, 0, F, D, {slopes, D, 1}, of.down + piece.expert * D * F, F,
                    grad_acts, F);
    for (int64_t place = piece.begin; place < piece.end; ++place)
      grad_gates[place] = kernel.gated_floats_back(both + place * 2 * F, grad_acts + place * F, F, sorted.gate[place],
                                                   acts + place * F, grad_both + place * 2 * F);
    multiply_floats(kernel, piece.begin, piece.end, 0, D, 2 * F, {grad_both, 2 * F, 1},
                    of.gate_up + piece.expert * 2 * F * D, D, grad_taken, D);
  });
  for (int64_t p = 0; p < P; ++p) to.gates[p] = grad_gates[sorted.place[p]];
  sum_choices(kernel, sorted, grad_taken, D, to.x);
  // An expert's matrices in pieces of 16 rows each: first all of the gate's and the other half's, then those of down.
  const int64_t of_gate_up = 2 * F / FLOAT_PANEL, each = of_gate_up + D / FLOAT_PANEL;
  shared(of.count * each, [&](int64_t number) {
    const int64_t e = number / each, part = number % each, begin = sorted.start[e], count = sorted.start[e + 1] - begin;
    const bool up = part < of_gate_up;
    const int64_t first = (up ? part : part - of_gate_up) * FLOAT_PANEL, width = up ? D : F;
    float *out = up ? to.gate_up + (e * 2 * F + first) * D : to.down + (e * D + first) * F;
    if (!count) return void(std::fill_n(out, FLOAT_PANEL * width, 0.0f));
    const float *left = up ? grad_both + begin * 2 * F + first : slopes + begin * D + first;
    const float *right = up ? taken + begin * D : acts + begin * F;
    multiply_floats(kernel, 0, FLOAT_PANEL, 0, width, count, {left, 1, up ? 2 * F : D}, right, width, out, width);
  });
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_routed_forward(const centime_experts_of *experts, const centime_routing *routing,
                                       const float *x, float *both, float *y) {
  forward(float_kernels(), *experts, Sorted(*routing, experts->count), x, both, y);
}

extern "C" void centime_routed_backward(const centime_experts_of *experts, const centime_routing *routing,
                                        const float *x, const float *both, const float *grad_y,
                                        const centime_experts_slopes *slopes) {
  backward(float_kernels(), *experts, Sorted(*routing, experts->count), x, both, grad_y, *slopes);
}
