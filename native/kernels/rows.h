// Rows against rows: what a few queries make of entries that stand as they were kept, where a panel of queries would be
// all but empty.
#pragma once

#include "vectors.h"

namespace centime {
namespace {

// Half of what the other kernels compute in: the longer ones, of which processors with AVX2 have two for one, are spilt.
typedef float Eight __attribute__((vector_size(32)));

inline Eight eight_of(const bf16 *from) {
  typedef uint32_t Words8 __attribute__((vector_size(32)));
  typedef uint16_t Halves8 __attribute__((vector_size(16)));
  return (Eight)(__builtin_convertvector(load<Halves8>(from), Words8) << 16);
}

inline float across(Eight sums) {
  typedef float Four __attribute__((vector_size(16)));
  Four halves[2];
  std::memcpy(halves, &sums, sizeof sums);
  const Four four = halves[0] + halves[1];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

template <int COUNT>
void row_scores_of(const float *q, const bf16 *keys, int64_t count, int64_t width, float (*scores)[PANEL],
                   int64_t lane) {
  for (int64_t i = 0; i < count; ++i, keys += width) {
    Eight first[COUNT] = {}, second[COUNT] = {};
    for (int64_t c = 0; c < width; c += HALF) {
      const Eight low = eight_of(keys + c), high = eight_of(keys + c + 8);
#pragma GCC unroll 4
      for (int r = 0; r < COUNT; ++r) {
        first[r] += low * load<Eight>(q + r * width + c);
        second[r] += high * load<Eight>(q + r * width + c + 8);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < COUNT; ++r) scores[i][lane + r] = across(first[r] + second[r]);
  }
}

template <int COUNT>
void row_mix_of(const float *weights, int64_t stride, const float *shrink, const bf16 *values, int64_t count,
                int64_t width, float *context) {
  for (int64_t c = 0; c < width; c += HALF) {
    Eight first[COUNT] = {}, second[COUNT] = {};
    for (int64_t i = 0; i < count; ++i) {
      const Eight low = eight_of(values + i * width + c), high = eight_of(values + i * width + c + 8);
#pragma GCC unroll 4
      for (int r = 0; r < COUNT; ++r) {
        first[r] += low * weights[r * stride + i];
        second[r] += high * weights[r * stride + i];
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < COUNT; ++r) {
      float *to = context + r * width + c;
      const Eight low = load<Eight>(to) * shrink[r] + first[r], high = load<Eight>(to + 8) * shrink[r] + second[r];
      std::memcpy(to, &low, sizeof low);
      std::memcpy(to + 8, &high, sizeof high);
    }
  }
}

// Calls of(Number<some>(), first row) for `rows` rows, four at a time.
template <typename Of>
inline void by_fours(int64_t rows, Of &&of) {
  int64_t at = 0;
  for (; at + 4 <= rows; at += 4) of(Number<4>(), at);
  if (rows - at >= 2) of(Number<2>(), at), at += 2;
  if (rows > at) of(Number<1>(), at);
}

[[maybe_unused]] void row_scores(const float *q, int64_t rows, const bf16 *keys, int64_t count, int64_t width,
                           float (*scores)[PANEL]) {
  by_fours(rows, [&](auto some, int64_t row) {
    row_scores_of<some.value>(q + row * width, keys, count, width, scores, row);
  });
}

[[maybe_unused]] void row_mix(const float *weights, int64_t rows, int64_t stride, const float *shrink, const bf16 *values,
                          int64_t count, int64_t width, float *context) {
  by_fours(rows, [&](auto some, int64_t row) {
    row_mix_of<some.value>(weights + row * stride, stride, shrink + row, values, count, width, context + row * width);
  });
}

}  // namespace
}  // namespace centime
