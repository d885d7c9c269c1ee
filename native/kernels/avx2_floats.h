// Products with bf16 and e4m3 numbers in AVX2 and FMA: sums of a few rows stay in registers, a panel's block in the
// first cache.
#pragma once

#include <immintrin.h>

#include "vectors.h"

namespace centime {
namespace avx2 {
namespace {

constexpr int LANES = 8;        // numbers of a vector
constexpr int NARROW = 2;       // rows whose sums with a whole panel fit into 16 registers
constexpr int FLOAT_ROWS = 24;  // rows of a pass: with a block of inputs and of a panel they fill 21 of 32 KiB
constexpr int64_t BLOCK = 128;  // inputs of a block

// The two numbers of each of 8 outputs, of inputs 2k and 2k + 1.
struct Both {
  __m256 even, odd;
};

inline Both bf16_numbers(const char *from) {
  const __m256i words = _mm256_loadu_si256((const __m256i *)from);
  return {(__m256)_mm256_slli_epi32(words, 16), (__m256)_mm256_and_si256(words, _mm256_set1_epi32(0xffff0000))};
}

// Exactly: a sign, 4 bits of exponent (bias 7) and 3 of mantissa, shifted to where float32 has them, are its own but
// for the bias of 127. The shift spreads the sign over the exponent's upper bits, which are then cleared.
inline __m256 e4m3_number(__m256i pairs, __m256i where) {
  const __m256i on_top = _mm256_shuffle_epi8(pairs, where);
  const __m256i bits = _mm256_and_si256(_mm256_srai_epi32(on_top, 4), _mm256_set1_epi32(0x87f00000));
  return _mm256_mul_ps((__m256)bits, _mm256_set1_ps(0x1p120f));
}

inline Both e4m3_numbers(const char *from) {
  constexpr char NONE = -1;
  const auto byte_of = [](char b) {  // of every pair: the first half of a register has four of them, the other too
    return _mm256_setr_epi8(NONE, NONE, NONE, b, NONE, NONE, NONE, b + 2, NONE, NONE, NONE, b + 4, NONE, NONE, NONE,
                            b + 6, NONE, NONE, NONE, b + 8, NONE, NONE, NONE, b + 10, NONE, NONE, NONE, b + 12, NONE,
                            NONE, NONE, b + 14);
  };
  const __m256i pairs = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
  return {e4m3_number(pairs, byte_of(0)), e4m3_number(pairs, byte_of(1))};
}

// sums[r][v] += x[r * stride + i] number(i, v) in the order of inputs, `numbers(k, v)` being those of pair k.
template <int COUNT, int VECTORS, typename Numbers>
inline __attribute__((always_inline)) void add_products(__m256 (&sums)[COUNT][VECTORS], const float *x, int64_t stride,
                                                        int64_t inputs, Numbers &&numbers) {
  for (int64_t i = 0; i < inputs; i += 2) {
    Both both[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) both[v] = numbers(i / 2, v);
#pragma GCC unroll 4
    for (int r = 0; r < COUNT; ++r) {
      const float *at = x + r * stride + i;
      const __m256 even = _mm256_broadcast_ss(at), odd = _mm256_broadcast_ss(at + 1);
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sums[r][v] = _mm256_fmadd_ps(both[v].even, even, sums[r][v]);
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sums[r][v] = _mm256_fmadd_ps(both[v].odd, odd, sums[r][v]);
    }
  }
}

// A block of a panel with some rows: out[r][..] += its products, by VECTORS * 8 outputs from the `first` on.
template <int COUNT, int VECTORS>
void bf16_tile(const char *panel, int64_t inputs, const float *x, int64_t stride, float (*out)[PANEL], int first) {
  __m256 sums[COUNT][VECTORS];
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) sums[r][v] = _mm256_loadu_ps(out[r] + first + v * LANES);
  const char *at = panel + first * 4;
  add_products(sums, x, stride, inputs, [at](int64_t k, int v) {
    if (v % 2 == 0) _mm_prefetch(at + k * 128 + v * 32 + AHEAD, _MM_HINT_T0);
    return bf16_numbers(at + k * 128 + v * 32);
  });
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) _mm256_storeu_ps(out[r] + first + v * LANES, sums[r][v]);
}

// The same of e4m3 numbers, a group of up to 32 inputs; what it comes to counts by the group's two scales.
template <int COUNT, int VECTORS>
void fp8_tile(const char *panel, int64_t inputs, const float *x, int64_t stride, float (*out)[PANEL], int first,
              const float *scales) {
  __m256 sums[COUNT][VECTORS] = {};
  const char *at = panel + first * GROUP;
  add_products(sums, x, stride, inputs, [at](int64_t k, int v) {
    const char *from = at + v / 2 * HALF * GROUP + k * 32 + v % 2 * 16;
    if (v % 2 == 0) _mm_prefetch(from + AHEAD, _MM_HINT_T0);
    return e4m3_numbers(from);
  });
#pragma GCC unroll 4
  for (int r = 0; r < COUNT; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      float *to = out[r] + first + v * LANES;
      const __m256 scale = _mm256_set1_ps(scales[(first + v * LANES) / HALF]);
      _mm256_storeu_ps(to, _mm256_fmadd_ps(sums[r][v], scale, _mm256_loadu_ps(to)));
    }
}

// Calls tile(rows, vectors, first row, first output), the first two sizes as types, until all rows met the whole panel.
template <typename Tile>
inline void by_halves(int count, Tile &&tile) {
  by_tiles<SMALL_TILE>(count, [&](auto some, int row) {
    if constexpr (some.value <= NARROW) {
      tile(some, Number<PANEL / LANES>(), row, 0);
    } else {
      tile(some, Number<HALF / LANES>(), row, 0);
      tile(some, Number<HALF / LANES>(), row, HALF);
    }
  });
}

void bf16_product(const void *from, int64_t inputs, const void *rows, int64_t bytes, int count, float (*out)[PANEL]) {
  const float *x = static_cast<const float *>(rows);
  const int64_t stride = bytes / sizeof(float);
  std::memset(out, 0, count * sizeof *out);
  for (int64_t first = 0; first < inputs; first += BLOCK) {
    const int64_t some = inputs - first < BLOCK ? inputs - first : BLOCK;
    const char *panel = static_cast<const char *>(from) + first * 64;
    by_halves(count, [&](auto tile, auto vectors, int row, int output) {
      bf16_tile<tile.value, vectors.value>(panel, some, x + row * stride + first, stride, out + row, output);
    });
  }
}

void fp8_product(const void *from, int64_t inputs, const void *rows, int64_t bytes, int count, float (*out)[PANEL]) {
  const float *x = static_cast<const float *>(rows);
  const int64_t stride = bytes / sizeof(float);
  std::memset(out, 0, count * sizeof *out);
  const char *scales_at = static_cast<const char *>(from), *panel = scales_at + fp8_scales_bytes(inputs);
  for (int64_t first = 0; first < inputs; first += GROUP, panel += FP8_GROUP_BYTES, scales_at += 8) {
    const int64_t some = inputs - first < GROUP ? inputs - first : GROUP;
    float scales[2];
    std::memcpy(scales, scales_at, sizeof scales);
    by_halves(count, [&](auto tile, auto vectors, int row, int output) {
      fp8_tile<tile.value, vectors.value>(panel, some, x + row * stride + first, stride, out + row, output, scales);
    });
  }
}

constexpr PanelProduct BF16 = {bf16_product, FLOAT_ROWS, true}, FP8 = {fp8_product, FLOAT_ROWS, true};

}  // namespace
}  // namespace avx2
}  // namespace centime
