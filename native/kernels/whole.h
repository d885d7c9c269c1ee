// Products of whole numbers: a row's in groups of 32 with a scale each, and a panel's in 8 or 4 bits.
#pragma once

#include "vectors.h"

namespace centime {
namespace {

constexpr int addend(int bits) { return 1 << (bits - 1); }  // what numbers in a panel are kept with

// IEEE halves, exactly; the scales of one half of a panel.
inline Floats scales_of(const char *from) {
  const Words bits = __builtin_convertvector(load<Halves>(from), Words);
  const Floats size = (Floats)((bits & 0x7fffu) << 13) * 0x1p112f;
  return (Floats)((Words)size | (bits & 0x8000u) << 16);
}

[[maybe_unused]] void whole(const bf16 *row, int64_t inputs, Group *to) {
  typedef int8_t Bytes __attribute__((vector_size(16)));
  constexpr float STEPS = 127.0f, LEAST = 1e-30f, ROUND = 12582912.0f;  // adding 1.5 * 2^23 rounds to a whole number
  for (int64_t first = 0; first < inputs; first += GROUP, ++to) {
    bf16 last[GROUP] = {};
    const bf16 *from = row + first;
    if (inputs - first < GROUP) {
      std::memcpy(last, from, (inputs - first) * sizeof(bf16));
      from = last;
    }
    const Words size = Words{} + 0x7fffffffu;
    const Floats x[2] = {widened(from), widened(from + HALF)};
    // as whole numbers, absolute floats keep their order, and what is no number is the largest
    const Words one = (Words)x[0] & size, two = (Words)x[1] & size, both = one > two ? one : two;
    uint32_t most = 0;
    for (int lane = 0; lane < HALF; ++lane) most = both[lane] > most ? both[lane] : most;
    float largest;
    std::memcpy(&largest, &most, sizeof largest);
    const bool some = largest > LEAST && largest - largest == 0.0f;
    const float steps = some ? STEPS / largest : 0.0f;
    to->scale = some ? largest / STEPS : largest - largest;  // 0 of zeros, NaN of what is infinite or no number
    Ints sum = {};
    for (int half = 0; half < 2; ++half) {
      const Ints codes = some ? (Ints)(x[half] * steps + ROUND) - (Ints)(Floats{} + ROUND) : Ints{};
      sum += codes;
      const Bytes narrow = __builtin_convertvector(codes, Bytes);
      std::memcpy(to->codes + half * HALF, &narrow, sizeof narrow);
    }
    to->sum = 0;
    for (int lane = 0; lane < HALF; ++lane) to->sum += sum[lane];
  }
}

template <int BITS, int COUNT>
[[maybe_unused]] void whole_product_of(const void *from, int64_t inputs, const void *rows, int64_t stride,
                                       float (*out)[PANEL]) {
  const char *panel = static_cast<const char *>(from);
  Floats sums[2][COUNT] = {};
  for (int64_t group = 0; group < (inputs + GROUP - 1) / GROUP; ++group) {
    const Group *x[COUNT];
    for (int r = 0; r < COUNT; ++r)
      x[r] = reinterpret_cast<const Group *>(static_cast<const char *>(rows) + r * stride) + group;
    const char *scales = panel + group_bytes(BITS) - 2 * PANEL;
    for (int half = 0; half < 2; ++half) {
      Ints sum[COUNT];
      for (int r = 0; r < COUNT; ++r) sum[r] = Ints{} - addend(BITS) * x[r]->sum;
#pragma GCC unroll 1
      for (int first = 0; first < GROUP; first += 32 / BITS, panel += 64) {
        const Words words = load<Words>(panel);
        for (int i = 0; i < 32 / BITS; ++i) {
          const int shift = BITS == 8 ? 8 * i : 8 * (i % 4) + i / 4 * 4;
          const Ints codes = (Ints)(words >> shift & ((1u << BITS) - 1));
          for (int r = 0; r < COUNT; ++r) sum[r] += codes * x[r]->codes[first + i];
        }
      }
      const Floats scale = scales_of(scales + half * HALF * 2);
      for (int r = 0; r < COUNT; ++r)
        sums[half][r] += __builtin_convertvector(sum[r], Floats) * (scale * x[r]->scale);
    }
    panel += 2 * PANEL;
  }
  for (int r = 0; r < COUNT; ++r)
    for (int half = 0; half < 2; ++half) std::memcpy(out[r] + half * HALF, &sums[half][r], sizeof(Floats));
}

template <int BITS>
[[maybe_unused]] void whole_product(const void *panel, int64_t inputs, const void *x, int64_t stride, int count,
                                    float (*out)[PANEL]) {
  by_tiles<ROWS_A_TILE>(count, [&](auto some, int row) {
    whole_product_of<BITS, some.value>(panel, inputs, row_at(x, row, stride), stride, out + row);
  });
}

}  // namespace
}  // namespace centime
