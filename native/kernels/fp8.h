// Products with e4m3 numbers, of which every 16 outputs by 32 inputs have one scale.
#pragma once

#include "vectors.h"

namespace centime {
namespace {

// Exactly: a sign, 4 bits of exponent (bias 7) and 3 of mantissa are float32's own but for the bias. 127, which stands
// for no number, is a panel's scale's to say.
inline Floats numbers_of(Words bytes) {
  return (Floats)((bytes & 0x80u) << 24 | (bytes & 0x7fu) << 20) * 0x1p120f;
}

template <int COUNT>
[[maybe_unused]] void fp8_product_of(const void *from, int64_t inputs, const void *rows, int64_t stride,
                                     float (*out)[PANEL]) {
  const char *scales = static_cast<const char *>(from), *panel = scales + fp8_scales_bytes(inputs);
  const char *x = static_cast<const char *>(rows);
  Floats sums[2][COUNT] = {};
  for (int64_t first = 0; first < inputs; first += GROUP, x += 2 * GROUP, scales += 8) {
    const int64_t some = inputs - first < GROUP ? inputs - first : GROUP;
    for (int half = 0; half < 2; ++half, panel += HALF * GROUP) {
      Floats sum[COUNT] = {};
      for (int64_t i = 0; i < some; i += 2) {
        const Words both = __builtin_convertvector(load<Halves>(panel + HALF * i), Words);
        const Floats even = numbers_of(both & 0xffu), odd = numbers_of(both >> 8);
        for (int r = 0; r < COUNT; ++r) {
          bf16 pair[2];
          std::memcpy(pair, x + r * stride + 2 * i, sizeof pair);
          sum[r] += even * widen(pair[0]);
          sum[r] += odd * widen(pair[1]);
        }
      }
      float scale;
      std::memcpy(&scale, scales + 4 * half, sizeof scale);
      for (int r = 0; r < COUNT; ++r) sums[half][r] += sum[r] * scale;
    }
  }
  for (int r = 0; r < COUNT; ++r)
    for (int half = 0; half < 2; ++half) std::memcpy(out[r] + half * HALF, &sums[half][r], sizeof(Floats));
}

[[maybe_unused]] void fp8_product(const void *panel, int64_t inputs, const void *x, int64_t stride, int count,
                                  float (*out)[PANEL]) {
  by_tiles<ROWS_A_TILE>(count, [&](auto some, int row) {
    fp8_product_of<some.value>(panel, inputs, row_at(x, row, stride), stride, out + row);
  });
}

}  // namespace
}  // namespace centime
