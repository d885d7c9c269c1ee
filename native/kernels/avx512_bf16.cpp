#include "table.h"
#include "vnni.h"

namespace centime {
namespace {

// Two products of 16-bit numbers a lane and instruction (VDPBF16PS); a pair of x is spread over the lanes.
template <int COUNT>
void dots_of(const void *from, int64_t inputs, const void *rows, int64_t stride, float (*out)[PANEL]) {
  const char *panel = static_cast<const char *>(from), *x = static_cast<const char *>(rows);
  __m512 low[COUNT], high[COUNT];
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) low[r] = high[r] = _mm512_setzero_ps();
  for (int64_t k = 0; k < inputs; k += 2, panel += 128, x += 4) {
    _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    _mm_prefetch(panel + AHEAD + 64, _MM_HINT_T0);
    const __m512bh first = (__m512bh)_mm512_loadu_si512(panel), second = (__m512bh)_mm512_loadu_si512(panel + 64);
#pragma GCC unroll 8
    for (int r = 0; r < COUNT; ++r) {
      const __m512bh spread = (__m512bh)spread_4(x + r * stride);
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

void dots(const void *panel, int64_t inputs, const void *x, int64_t stride, int count, float (*out)[PANEL]) {
  by_tiles<ROWS>(count, [&](auto some, int row) {
    dots_of<some.value>(panel, inputs, row_at(x, row, stride), stride, out + row);
  });
}

// e4m3 numbers as bf16, exactly: the exponent moves by 120; those below its range, eighths of 2^-6, from a table.
inline __m512bh widened_fp8(__m256i bytes) {
  const __m512i words = _mm512_cvtepu8_epi16(bytes);
  const __m512i small = _mm512_broadcast_i32x4(
      _mm_setr_epi16(0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60));
  const __m512i size = _mm512_slli_epi16(_mm512_and_si512(words, _mm512_set1_epi16(0x7f)), 4);
  const __mmask32 is_small = _mm512_testn_epi16_mask(words, _mm512_set1_epi16(0x78));
  const __m512i number = _mm512_mask_permutexvar_epi16(_mm512_add_epi16(size, _mm512_set1_epi16(0x3c00)), is_small,
                                                       _mm512_and_si512(words, _mm512_set1_epi16(7)), small);
  const __m512i sign = _mm512_slli_epi16(_mm512_and_si512(words, _mm512_set1_epi16(0x80)), 8);
  return (__m512bh)_mm512_or_si512(number, sign);
}

template <int COUNT>
void fp8_dots_of(const void *from, int64_t inputs, const void *rows, int64_t stride, float (*out)[PANEL]) {
  const char *scales = static_cast<const char *>(from), *panel = scales + fp8_scales_bytes(inputs);
  const char *x = static_cast<const char *>(rows);
  __m512 sums[2][COUNT];
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) sums[0][r] = sums[1][r] = _mm512_setzero_ps();
  for (int64_t first = 0; first < inputs; first += GROUP, x += 2 * GROUP, scales += 8) {
    const int64_t some = inputs - first < GROUP ? inputs - first : GROUP;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half, panel += HALF * GROUP) {
      __m512 sum[COUNT];
#pragma GCC unroll 8
      for (int r = 0; r < COUNT; ++r) sum[r] = _mm512_setzero_ps();
      for (int64_t i = 0; i < some; i += 2) {
        _mm_prefetch(panel + HALF * i + AHEAD, _MM_HINT_T0);
        const __m512bh numbers = widened_fp8(_mm256_loadu_si256((const __m256i *)(panel + HALF * i)));
#pragma GCC unroll 8
        for (int r = 0; r < COUNT; ++r)
          sum[r] = _mm512_dpbf16_ps(sum[r], numbers, (__m512bh)spread_4(x + r * stride + 2 * i));
      }
      float scale;
      std::memcpy(&scale, scales + 4 * half, sizeof scale);
#pragma GCC unroll 8
      for (int r = 0; r < COUNT; ++r) sums[half][r] = _mm512_fmadd_ps(sum[r], _mm512_set1_ps(scale), sums[half][r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) {
    _mm512_storeu_ps(out[r], sums[0][r]);
    _mm512_storeu_ps(out[r] + HALF, sums[1][r]);
  }
}

void fp8_dots(const void *panel, int64_t inputs, const void *x, int64_t stride, int count, float (*out)[PANEL]) {
  by_tiles<ROWS>(count, [&](auto some, int row) {
    fp8_dots_of<some.value>(panel, inputs, row_at(x, row, stride), stride, out + row);
  });
}

// Those that have the one have had the other since the first of them (Cooper Lake, Zen 4).
bool runs() {
  return AVX512.runs() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
}

}  // namespace
}  // namespace centime

const centime::Kernels centime::AVX512_BF16 =
    centime::table("avx512_bf16", centime::runs,
                   {.bf16 = {centime::dots, centime::ROWS},
                    .int8 = {centime::whole_dots<8>, centime::ROWS},
                    .int4 = {centime::whole_dots<4>, centime::ROWS},
                    .fp8 = {centime::fp8_dots, centime::ROWS}});
