// Products of whole numbers in AVX2, without VNNI: the same sums of a group as its instruction makes.
#pragma once

#include "avx2_tiles.h"
#include "whole.h"

namespace centime {
namespace avx2 {
namespace {

constexpr int WHOLE_ROWS = 8;   // of a pass over a panel
constexpr int WHOLE_TILE = 4;   // rows whose sums with half a panel stay in registers

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

// sum[r][v] = the products' sums of a group with half a panel of 8 bits. A pair of products and their sum need 17 bits
// and a sign, so that the bytes' own instruction (VPMADDUBSW, of 16) would not do.
template <int COUNT>
inline void add_group(const char *panel, const Group *const *, const Apart *codes, __m256i (&sum)[COUNT][2],
                      Number<8>) {
  const __m256i low_byte = _mm256_set1_epi16(0xff);
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 2
  for (int word = 0; word < GROUP / 4; ++word, panel += 64) {
    _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    const __m256i numbers[2] = {words_at(panel), words_at(panel + 32)};
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m256i even = _mm256_and_si256(numbers[v], low_byte), odd = _mm256_srli_epi16(numbers[v], 8);
#pragma GCC unroll 4
      for (int r = 0; r < COUNT; ++r) {
        const char *x = reinterpret_cast<const char *>(codes + r) + word * 4;
        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(even, spread(x)));
        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(odd, spread(x + sizeof(__m256i))));
      }
    }
  }
}

// The same of 4 bits: eight sums of two products, each of 15 * 127 at most, fit into 16 bits (30,480).
template <int COUNT>
inline void add_group(const char *panel, const Group *const *x, const Apart *, __m256i (&sum)[COUNT][2],
                      Number<4>) {
  const __m256i low_half = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int word = 0; word < GROUP / 8; ++word, panel += 64) {
    _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    const __m256i numbers[2] = {words_at(panel), words_at(panel + 32)};
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m256i first = _mm256_and_si256(numbers[v], low_half);
      const __m256i second = _mm256_and_si256(_mm256_srli_epi16(numbers[v], 4), low_half);
#pragma GCC unroll 4
      for (int r = 0; r < COUNT; ++r) {
        const int8_t *codes = x[r]->codes + word * 8;
        sum[r][v] = _mm256_add_epi16(sum[r][v], _mm256_maddubs_epi16(first, spread(codes)));
        sum[r][v] = _mm256_add_epi16(sum[r][v], _mm256_maddubs_epi16(second, spread(codes + 4)));
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) sum[r][v] = _mm256_madd_epi16(sum[r][v], one);
}

// out[r][first ..] += what a group comes to with half a panel; `scales` are its 16 outputs'.
template <int BITS, int COUNT>
void whole_tile(const char *panel, const char *scales, const Group *const *x, const Apart *codes,
                float (*out)[PANEL], int first) {
  __m256i sum[COUNT][2];
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
    by_tiles<WHOLE_TILE>(count, [&](auto some, int row) {
      for (int half = 0; half < 2; ++half)
        whole_tile<BITS, some.value>(panel + half * HALF_BYTES, scales + half * HALF * 2, x + row, codes + row,
                                     out + row, half * HALF);
    });
  }
}

}  // namespace
}  // namespace avx2
}  // namespace centime
