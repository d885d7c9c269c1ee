// Products of whole numbers by AVX-512's VNNI. Nothing is fetched ahead: a Zen 4 by itself reads these panels as fast as
// memory does, and a fifth to a quarter more slowly where it is told what to fetch.
#pragma once

#include <immintrin.h>

#include "whole.h"

namespace centime {
namespace {

// Four bytes in every lane.
inline __m512i spread_4(const void *from) {
  int32_t four;
  std::memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}

// Four products of 8-bit numbers a lane and instruction (VPDPBUSD), a panel's without sign.
template <int COUNT>
inline void multiply_four(__m512i (&sum)[COUNT], __m512i numbers, const Group *const (&x)[COUNT], int first) {
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) sum[r] = _mm512_dpbusd_epi32(sum[r], numbers, spread_4(x[r]->codes + first));
}

template <int BITS, int COUNT>
void whole_dots_of(const void *from, int64_t inputs, const void *rows, int64_t stride, float (*out)[PANEL]) {
  const char *panel = static_cast<const char *>(from), *at = static_cast<const char *>(rows);
  const __m512i low_half = _mm512_set1_epi8(15);
  __m512 sums[2][COUNT];
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) sums[0][r] = sums[1][r] = _mm512_setzero_ps();
  for (int64_t group = (inputs + GROUP - 1) / GROUP; group; --group, at += sizeof(Group), panel += 2 * PANEL) {
    const Group *x[COUNT];
#pragma GCC unroll 8
    for (int r = 0; r < COUNT; ++r) x[r] = reinterpret_cast<const Group *>(at + r * stride);
    const char *scales = panel + group_bytes(BITS) - 2 * PANEL;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m512i sum[COUNT];
#pragma GCC unroll 8
      for (int r = 0; r < COUNT; ++r) sum[r] = _mm512_set1_epi32(-addend(BITS) * x[r]->sum);
#pragma GCC unroll 8
      for (int first = 0; first < GROUP; first += 32 / BITS, panel += 64) {
        const __m512i numbers = _mm512_loadu_si512(panel);
        if constexpr (BITS == 8) {
          multiply_four(sum, numbers, x, first);
        } else {
          multiply_four(sum, _mm512_and_si512(numbers, low_half), x, first);
          multiply_four(sum, _mm512_and_si512(_mm512_srli_epi32(numbers, 4), low_half), x, first + 4);
        }
      }
      const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(scales + half * HALF * 2)));
#pragma GCC unroll 8
      for (int r = 0; r < COUNT; ++r)
        sums[half][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r]), _mm512_mul_ps(scale, _mm512_set1_ps(x[r]->scale)),
                                        sums[half][r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) {
    _mm512_storeu_ps(out[r], sums[0][r]);
    _mm512_storeu_ps(out[r] + HALF, sums[1][r]);
  }
}

template <int BITS>
void whole_dots(const void *panel, int64_t inputs, const void *x, int64_t stride, int count, float (*out)[PANEL]) {
  by_tiles<SMALL_TILE>(count, [&](auto some, int row) {
    whole_dots_of<BITS, some.value>(panel, inputs, row_at(x, row, stride), stride, out + row);
  });
}

}  // namespace
}  // namespace centime
