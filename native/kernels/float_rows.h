// What happens to rows of float32 numbers between products.
#pragma once

#include "float_tiles.h"

namespace centime {
namespace {

float largest(const float *row, int64_t count) {
  Lane tops[LANES_A_TILE];
  for (Lane &top : tops) top = Lane{} - __builtin_inff();
  for (int64_t i = 0; i < count; i += FLOAT_PANEL)
#pragma GCC unroll 4
    for (int v = 0; v < LANES_A_TILE; ++v) {
      const Lane some = load<Lane>(row + i + v * LANE);
      tops[v] = some > tops[v] ? some : tops[v];
    }
  float most = tops[0][0];
  for (const Lane &top : tops)
    for (int lane = 0; lane < LANE; ++lane) most = top[lane] > most ? top[lane] : most;
  return most;
}

float exponentials(float *row, int64_t count, float top) {
  Lane sums[LANES_A_TILE] = {};
  for (int64_t i = 0; i < count; i += FLOAT_PANEL)
#pragma GCC unroll 4
    for (int v = 0; v < LANES_A_TILE; ++v) {
      float *at = row + i + v * LANE;
      const Lane power = exponential_of<Lane, LaneInts>(load<Lane>(at) - top);
      sums[v] += power;
      std::memcpy(at, &power, sizeof power);
    }
  float sum = 0.0f;
  for (const Lane &some : sums)
    for (int lane = 0; lane < LANE; ++lane) sum += some[lane];
  return sum;
}

void add_floats(const float *from, float *to, int64_t count) {
  for (int64_t i = 0; i < count; i += LANE) {
    const Lane sum = load<Lane>(from + i) + load<Lane>(to + i);
    std::memcpy(to + i, &sum, sizeof sum);
  }
}

inline Lane sigmoid(Lane x) { return 1.0f / (1.0f + exponential_of<Lane, LaneInts>(-x)); }

void gated_floats(const float *both, int64_t width, float gate, float *to) {
  for (int64_t i = 0; i < width; i += LANE) {
    const Lane x = load<Lane>(both + i), up = load<Lane>(both + width + i);
    const Lane out = x * sigmoid(x) * up * gate;
    std::memcpy(to + i, &out, sizeof out);
  }
}

float gated_floats_back(const float *both, const float *grad, int64_t width, float gate, float *to,
                                         float *grad_both) {
  Lane sums = {};
  for (int64_t i = 0; i < width; i += LANE) {
    const Lane x = load<Lane>(both + i), up = load<Lane>(both + width + i), slope = load<Lane>(grad + i);
    const Lane share = sigmoid(x), silu = x * share, out = silu * up * gate, of_up = slope * gate * silu;
    const Lane of_gate = slope * gate * up * (share + silu * (1.0f - share));
    sums += slope * silu * up;
    std::memcpy(to + i, &out, sizeof out);
    std::memcpy(grad_both + i, &of_gate, sizeof of_gate);
    std::memcpy(grad_both + width + i, &of_up, sizeof of_up);
  }
  float sum = 0.0f;
  for (int lane = 0; lane < LANE; ++lane) sum += sums[lane];
  return sum;
}

constexpr FloatKernels FLOATS = {TILE_ROWS,  float_tile, largest, exponentials, add_floats, gated_floats,
                                 gated_floats_back};

}  // namespace
}  // namespace centime
