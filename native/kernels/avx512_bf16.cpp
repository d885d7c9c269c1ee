#include <immintrin.h>

#include "vectors.h"

namespace centime {
namespace {

// Two products of 16-bit numbers a lane and instruction (VDPBF16PS); a pair of x is spread over the lanes.
template <int COUNT>
void dots_of(const bf16 *panel, int64_t pairs, const bf16 *x, int64_t stride, float (*out)[PANEL]) {
  __m512 low[COUNT], high[COUNT];
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) low[r] = high[r] = _mm512_setzero_ps();
  for (int64_t k = 0; k < pairs; ++k, panel += 2 * PANEL) {
    _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    _mm_prefetch(panel + AHEAD + PANEL, _MM_HINT_T0);
    const __m512bh first = (__m512bh)_mm512_loadu_si512(panel), second = (__m512bh)_mm512_loadu_si512(panel + PANEL);
#pragma GCC unroll 8
    for (int r = 0; r < COUNT; ++r) {
      int32_t pair;
      std::memcpy(&pair, x + r * stride + 2 * k, sizeof pair);
      const __m512bh spread = (__m512bh)_mm512_set1_epi32(pair);
      low[r] = _mm512_dpbf16_ps(low[r], first, spread);
      high[r] = _mm512_dpbf16_ps(high[r], second, spread);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) {
    _mm512_storeu_ps(out[r], low[r]);
    _mm512_storeu_ps(out[r] + HALF, high[r]);
  }
}

void dots(const bf16 *panel, int64_t pairs, const bf16 *x, int64_t stride, int count, float (*out)[PANEL]) {
  CENTIME_BY_ROWS(dots_of)
}

}  // namespace
}  // namespace centime

const centime::Kernels centime::AVX512_BF16 = centime::table(
    "avx512_bf16", [] { return centime::AVX512.runs() && __builtin_cpu_supports("avx512bf16"); }, centime::ROWS,
    centime::dots);
