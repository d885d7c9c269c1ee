// Products of whole numbers in AVX2, without VNNI: the same sums of a group as its instruction makes.
#pragma once

#include <immintrin.h>

#include "whole.h"

namespace centime {
namespace avx2 {
namespace {

constexpr int WHOLE_ROWS = 8;  // of a pass over a panel

inline __m256i spread(const void *from) {  // four bytes in every lane
  int32_t four;
  std::memcpy(&four, from, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i words_at(const char *from) { return _mm256_loadu_si256((const __m256i *)from); }

// A row's codes for VPMADDWD, which multiplies pairs of 16-bit numbers: of every four codes the first and the third,
// and the second and the fourth, as a panel's bytes come apart by a mask and a shift.
struct Apart {
  __m256i even, odd;
};

inline Apart apart(const int8_t *codes) {
  const __m256i all = _mm256_loadu_si256((const __m256i *)codes);
  return {_mm256_srai_epi16(_mm256_slli_epi16(all, 8), 8), _mm256_srai_epi16(all, 8)};
}

// Adds where the sum stands: of a chain of additions whose order is free compilers make trees, for which there are not
// enough registers.
inline void add_epi32(__m256i &sum, __m256i product) {
  sum = _mm256_add_epi32(sum, product);
  asm("" : "+x"(sum));
}

inline void add_epi16(__m256i &sum, __m256i product) {
  sum = _mm256_add_epi16(sum, product);
  asm("" : "+x"(sum));
}

// sum[r][v] += the products' sums of a group with half a panel of 8 bits. A pair of products and their sum need 17 bits
// and a sign, so that the bytes' own instruction (VPMADDUBSW, of 16) would not do.
template <int COUNT>
inline void add_group(const char *panel, const Group *const *, const Apart *codes, __m256i (&sum)[COUNT][2],
                      Number<8>) {
  const __m256i low_byte = _mm256_set1_epi16(0xff);
  for (int word = 0; word < GROUP / 4; ++word, panel += 64) {
    _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    const __m256i all[2] = {words_at(panel), words_at(panel + 32)};
    const __m256i even[2] = {_mm256_and_si256(all[0], low_byte), _mm256_and_si256(all[1], low_byte)};
    const __m256i odd[2] = {_mm256_srli_epi16(all[0], 8), _mm256_srli_epi16(all[1], 8)};
#pragma GCC unroll 4
    for (int r = 0; r < COUNT; ++r) {
      const char *x = reinterpret_cast<const char *>(codes + r) + word * 4;
      const __m256i first = spread(x), second = spread(x + sizeof(__m256i));
      add_epi32(sum[r][0], _mm256_madd_epi16(even[0], first));
      add_epi32(sum[r][1], _mm256_madd_epi16(even[1], first));
      add_epi32(sum[r][0], _mm256_madd_epi16(odd[0], second));
      add_epi32(sum[r][1], _mm256_madd_epi16(odd[1], second));
    }
  }
}

// The same of 4 bits: eight sums of two products, each of 15 * 127 at most, fit into 16 bits (30,480).
template <int COUNT>
inline void add_group(const char *panel, const Group *const *x, const Apart *, __m256i (&sum)[COUNT][2], Number<4>) {
  const __m256i low_half = _mm256_set1_epi8(15);
  for (int word = 0; word < GROUP / 8; ++word, panel += 64) {
    _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    const __m256i all[2] = {words_at(panel), words_at(panel + 32)};
    const __m256i low[2] = {_mm256_and_si256(all[0], low_half), _mm256_and_si256(all[1], low_half)};
    const __m256i high[2] = {_mm256_and_si256(_mm256_srli_epi16(all[0], 4), low_half),
                             _mm256_and_si256(_mm256_srli_epi16(all[1], 4), low_half)};
#pragma GCC unroll 4
    for (int r = 0; r < COUNT; ++r) {
      const __m256i first = spread(x[r]->codes + word * 8), second = spread(x[r]->codes + word * 8 + 4);
      add_epi16(sum[r][0], _mm256_maddubs_epi16(low[0], first));
      add_epi16(sum[r][1], _mm256_maddubs_epi16(low[1], first));
      add_epi16(sum[r][0], _mm256_maddubs_epi16(high[0], second));
      add_epi16(sum[r][1], _mm256_maddubs_epi16(high[1], second));
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) sum[r][v] = _mm256_madd_epi16(sum[r][v], _mm256_set1_epi16(1));
}

// out[r][first ..] += what a group comes to with half a panel; `scales` are its 16 outputs'. On its own: within a
// longer function sums lose their registers.
template <int BITS, int COUNT>
[[gnu::noinline]] void whole_tile(const char *panel, const char *scales, const Group *const *x, const Apart *codes,
                float (*out)[PANEL], int first) {
  __m256i sum[COUNT][2] = {};
  add_group<COUNT>(panel, x, codes, sum, Number<BITS>());
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)scales)),
                            _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(scales + 16)))};
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m256i exact = _mm256_sub_epi32(sum[r][v], _mm256_set1_epi32(addend(BITS) * x[r]->sum));
      const __m256 scale = _mm256_mul_ps(halves[v], _mm256_set1_ps(x[r]->scale));
      float *to = out[r] + first + v * 8;
      _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), scale, _mm256_loadu_ps(to)));
    }
}

template <int BITS>
void whole_product(const void *from, int64_t inputs, const void *rows, int64_t stride, int count,
                   float (*out)[PANEL]) {
  constexpr int64_t HALF_BYTES = (group_bytes(BITS) - 2 * PANEL) / 2;
  const char *panel = static_cast<const char *>(from);
  std::memset(out, 0, count * sizeof *out);
  for (int64_t group = 0; group < (inputs + GROUP - 1) / GROUP; ++group, panel += group_bytes(BITS)) {
    const Group *x[WHOLE_ROWS];
    Apart codes[WHOLE_ROWS];
    for (int r = 0; r < count; ++r) {
      x[r] = reinterpret_cast<const Group *>(static_cast<const char *>(rows) + r * stride) + group;
      if constexpr (BITS == 8) codes[r] = apart(x[r]->codes);
    }
    const char *scales = panel + 2 * HALF_BYTES;
    _mm_prefetch(scales + AHEAD, _MM_HINT_T0);
    by_tiles<SMALL_TILE>(count, [&](auto some, int row) {
      for (int half = 0; half < 2; ++half)
        whole_tile<BITS, some.value>(panel + half * HALF_BYTES, scales + half * HALF * 2, x + row, codes + row,
                                     out + row, half * HALF);
    });
  }
}

constexpr PanelProduct INT8 = {whole_product<8>, WHOLE_ROWS}, INT4 = {whole_product<4>, WHOLE_ROWS};

}  // namespace
}  // namespace avx2
}  // namespace centime
