// What goes between products in AVX2: numbers widened and rounded, SwiGLU, and a softmax's weights.
#pragma once

#include <initializer_list>

#include "avx2_floats.h"

namespace centime {
namespace avx2 {
namespace {

// As `exponential` has it, of 8 numbers. Where one operand is no number MINPS and MAXPS give the second.
inline __m256 exponential8(__m256 x) {
  const auto all = [](float number) { return _mm256_set1_ps(number); };
  x = _mm256_max_ps(all(-87.0f), _mm256_min_ps(all(88.0f), x));
  const __m256 shifted = _mm256_fmadd_ps(x, all(1.44269504f), all(12582912.0f));
  const __m256 whole = _mm256_sub_ps(shifted, all(12582912.0f));
  __m256 rest = _mm256_fnmadd_ps(whole, all(0.693359375f), x);
  rest = _mm256_fnmadd_ps(whole, all(-2.12194440e-4f), rest);
  __m256 power = all(1.9875691500e-4f);
  for (const float factor : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    power = _mm256_fmadd_ps(power, rest, all(factor));
  power = _mm256_fmadd_ps(power, _mm256_mul_ps(rest, rest), _mm256_add_ps(rest, all(1.0f)));
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);  // what was added has none of these bits
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(power), exponent));
}

// Rounded to the nearest, ties to even, as float32 with the lower 16 bits to be cut off. What is no number may overflow,
// but where it came of bf16 numbers or of arithmetic.
inline __m256i rounded8(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), even);
}

// 16 numbers as bf16.
inline __m256i halves16(__m256 first, __m256 second) {
  const auto eight = [](__m256 value) {
    const __m256 none = _mm256_or_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(0x400000)));
    const __m256 near = _mm256_castsi256_ps(rounded8(value));
    const __m256 kept = _mm256_blendv_ps(near, none, _mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_castps_si256(kept), 16);
  };
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(eight(first), eight(second)), 0xd8);
}

void floats8(const bf16 *from, float *to, int64_t count) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(from + i)));
    _mm256_storeu_ps(to + i, (__m256)_mm256_slli_epi32(words, 16));
  }
  for (; i < count; ++i) to[i] = widen(from[i]);
}

void narrow8(const float *from, bf16 *to, int64_t count) {
  int64_t i = 0;
  for (; i + HALF <= count; i += HALF)
    _mm256_storeu_si256((__m256i *)(to + i), halves16(_mm256_loadu_ps(from + i), _mm256_loadu_ps(from + i + LANES)));
  narrow(from + i, to + i, count - i);
}

void gated8(const float *both, bf16 *to) {
  const auto eight = [both](int first) {
    const __m256 gate = _mm256_loadu_ps(both + first), one = _mm256_set1_ps(1.0f);
    const __m256 less = exponential8(_mm256_xor_ps(gate, _mm256_set1_ps(-0.0f)));
    return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(one, less)), _mm256_loadu_ps(both + HALF + first));
  };
  _mm256_storeu_si256((__m256i *)to, halves16(eight(0), eight(LANES)));
}

// Row i, number j of eight becomes row j, number i.
inline void turn(__m256i (&rows)[8]) {
  __m256i pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      fours[i + 2 * j] = _mm256_unpacklo_epi64(pairs[i + j], pairs[i + j + 2]);
      fours[i + 2 * j + 1] = _mm256_unpackhi_epi64(pairs[i + j], pairs[i + j + 2]);
    }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31);
  }
}

void soften8(const float (*scores)[PANEL], int64_t count, int64_t filled, float scale, float *largest, float *sum,
             float *shrink, bf16 *weights, int64_t stride) {
  const __m256 factor = _mm256_set1_ps(scale);
  for (int lane = 0; lane < PANEL; lane += LANES) {
    const auto score = [&](int64_t i) { return _mm256_mul_ps(_mm256_loadu_ps(scores[i] + lane), factor); };
    const __m256 before = _mm256_loadu_ps(largest + lane);
    __m256 top = before, total = _mm256_setzero_ps();
    for (int64_t i = 0; i < count; ++i) top = _mm256_max_ps(score(i), top);
    const auto weight = [&](int64_t i) {
      if (i >= count) return _mm256_setzero_si256();
      const __m256i near = rounded8(exponential8(_mm256_sub_ps(score(i), top)));
      const __m256i one = _mm256_and_si256(near, _mm256_set1_epi32(0xffff0000));
      total = _mm256_add_ps(total, _mm256_castsi256_ps(one));
      return one;
    };
    for (int64_t first = 0; first < filled; first += 2 * LANES) {
      __m256i pairs[LANES];
      for (int i = 0; i < LANES; ++i) {
        const __m256i even = weight(first + 2 * i), odd = weight(first + 2 * i + 1);
        pairs[i] = _mm256_or_si256(_mm256_srli_epi32(even, 16), odd);
      }
      turn(pairs);
      for (int i = 0; i < LANES; ++i)
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(weights + (lane + i) * stride + first), pairs[i]);
    }
    const __m256 less = exponential8(_mm256_sub_ps(before, top));
    _mm256_storeu_ps(largest + lane, top);
    _mm256_storeu_ps(sum + lane, _mm256_fmadd_ps(_mm256_loadu_ps(sum + lane), less, total));
    _mm256_storeu_ps(shrink + lane, less);
  }
}

}  // namespace
}  // namespace avx2
}  // namespace centime
