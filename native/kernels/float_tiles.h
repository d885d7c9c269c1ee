// Products of float32 matrices, a tile at a time: its sums stay in registers.
#pragma once

#include <array>
#include <utility>

#include "vectors.h"

namespace centime {
namespace {

#if defined(__AVX__)
constexpr int LANE = 8, TILE_ROWS = 6;  // 12 sums, two vectors of numbers and one of x fill 16 registers
#else
constexpr int LANE = 4, TILE_ROWS = 3;
#endif
constexpr int LANES_A_TILE = FLOAT_PANEL / LANE;
typedef float Lane __attribute__((vector_size(LANE * sizeof(float))));
typedef int32_t LaneInts __attribute__((vector_size(LANE * sizeof(float))));

template <int COUNT>
void float_tile_of(int64_t depth, const float *left, int64_t row, int64_t step, const float *right,
                   int64_t right_step, float *out, int64_t stride, bool add) {
  Lane sums[COUNT][LANES_A_TILE] = {};
  for (int64_t k = 0; k < depth; ++k, left += step, right += right_step) {
    Lane numbers[LANES_A_TILE];
#pragma GCC unroll 4
    for (int v = 0; v < LANES_A_TILE; ++v) numbers[v] = load<Lane>(right + v * LANE);
#pragma GCC unroll 12
    for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < LANES_A_TILE; ++v) sums[r][v] += left[r * row] * numbers[v];
  }
#pragma GCC unroll 12
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < LANES_A_TILE; ++v) {
      float *to = out + r * stride + v * LANE;
      if (add) sums[r][v] += load<Lane>(to);
      std::memcpy(to, &sums[r][v], sizeof(Lane));
    }
}

template <int... COUNTS>
constexpr auto float_tiles(std::integer_sequence<int, COUNTS...>) {
  return std::array{float_tile_of<COUNTS + 1>...};
}

void float_tile(int count, int64_t depth, const float *left, int64_t row, int64_t step,
                                 const float *right, int64_t right_step, float *out, int64_t stride, bool add) {
  static constexpr auto of = float_tiles(std::make_integer_sequence<int, TILE_ROWS>());
  of[count - 1](depth, left, row, step, right, right_step, out, stride, add);
}

}  // namespace
}  // namespace centime
