// Kernels in the compiler's own vectors of 16 numbers: each file that includes this is compiled for one processor.
#pragma once

#include <cstring>

#include "../kernels.h"
#include "tiles.h"

namespace centime {
namespace {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

template <typename Vector>
inline Vector load(const void *from) {
  Vector out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

// e^x within 2 units in the last place between -87 and 88, where it is held (Cephes' expf: range reduction by ln 2, a
// polynomial of degree 5 for the rest); NaN stays NaN. Whole: as many 32-bit numbers as Vector has.
template <typename Vector, typename Whole>
inline Vector exponential_of(Vector x) {
  const Vector top = Vector{} + 88.0f, bottom = Vector{} - 87.0f;
  x = x > top ? top : x;
  x = x < bottom ? bottom : x;
  const Vector magic = Vector{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const Vector shifted = x * 1.44269504f + magic;
  const Vector whole = shifted - magic;
  Vector rest = x - whole * 0.693359375f;
  rest -= whole * -2.12194440e-4f;
  Vector power = Vector{} + 1.9875691500e-4f;
  power = power * rest + 1.3981999507e-3f;
  power = power * rest + 8.3334519073e-3f;
  power = power * rest + 4.1665795894e-2f;
  power = power * rest + 1.6666665459e-1f;
  power = power * rest + 5.0000001201e-1f;
  power = power * rest * rest + rest + 1.0f;
  const Whole exponent = (Whole)shifted - (Whole)magic;
  return power * (Vector)((exponent + 127) << 23);
}

inline Floats exponential(Floats x) { return exponential_of<Floats, Ints>(x); }

inline Halves rounded(Floats value) {
  const Words bits = (Words)value;
  const Words even = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const Words nan = bits >> 16 | 0x40u;
  return __builtin_convertvector((Words)(value == value ? (Ints)even : (Ints)nan), Halves);
}

inline Floats widened(const bf16 *from) {
  return (Floats)(__builtin_convertvector(load<Halves>(from), Words) << 16);
}

[[maybe_unused]] void floats(const bf16 *from, float *to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = widen(from[i]);
}

[[maybe_unused]] void narrow(const float *from, bf16 *to, int64_t count) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const Halves out = rounded(load<Floats>(from + i));
    std::memcpy(to + i, &out, sizeof out);
  }
  if (i < count) {
    float last[16] = {};
    std::memcpy(last, from + i, (count - i) * sizeof(float));
    const Halves out = rounded(load<Floats>(last));
    std::memcpy(to + i, &out, (count - i) * sizeof(bf16));
  }
}

[[maybe_unused]] void add(const bf16 *from, bf16 *to, int64_t count) {
  int64_t i = 0;
  for (; i + HALF <= count; i += HALF) {
    const Halves out = rounded(widened(from + i) + widened(to + i));
    std::memcpy(to + i, &out, sizeof out);
  }
  float last[HALF] = {};
  for (int64_t j = i; j < count; ++j) last[j - i] = widen(from[j]) + widen(to[j]);
  narrow(last, to + i, count - i);
}

[[maybe_unused]] void gated(const float *both, bf16 *to) {
  const Floats gate = load<Floats>(both), up = load<Floats>(both + HALF);
  const Halves out = rounded(gate / (1.0f + exponential(-gate)) * up);
  std::memcpy(to, &out, sizeof out);
}

[[maybe_unused]] void interleave(const bf16 *rows, int64_t stride, int64_t count, int64_t columns, bf16 *panels) {
  for (int64_t first = 0; first < columns; first += HALF) {
    bf16 *to = panels + first / PANEL * count * PANEL + first % PANEL * 2;
    const int64_t some = columns - first < HALF ? columns - first : HALF;
    for (int64_t i = 0; i < count; i += 2, to += 2 * PANEL) {
      bf16 both[2][HALF] = {};
      std::memcpy(both[0], rows + i * stride + first, some * sizeof(bf16));
      std::memcpy(both[1], rows + (i + 1) * stride + first, some * sizeof(bf16));
      const Words low = __builtin_convertvector(load<Halves>(both[0]), Words);
      const Words high = __builtin_convertvector(load<Halves>(both[1]), Words);
      const Words pairs = low | high << 16;
      std::memcpy(to, &pairs, sizeof pairs);
    }
  }
  if (columns % PANEL && columns % PANEL <= HALF)
    for (int64_t i = 0; i < count / 2; ++i)
      std::memset(panels + columns / PANEL * count * PANEL + i * 2 * PANEL + PANEL, 0, PANEL * sizeof(bf16));
}

[[maybe_unused]] void soften(const float (*scores)[PANEL], int64_t count, int64_t filled, float scale, float *largest,
                             float *sum, float *shrink, bf16 *weights, int64_t stride) {
  for (int half = 0; half < PANEL; half += HALF) {
    const Floats before = load<Floats>(largest + half);
    Floats top = before, total = {};
    for (int64_t i = 0; i < count; ++i) {
      const Floats score = load<Floats>(scores[i] + half) * scale;
      top = score > top ? score : top;
    }
    for (int64_t i = 0; i < count; ++i) {
      const Halves weight = rounded(exponential(load<Floats>(scores[i] + half) * scale - top));
      total += (Floats)(__builtin_convertvector(weight, Words) << 16);
      for (int lane = 0; lane < HALF; ++lane) weights[(half + lane) * stride + i] = weight[lane];
    }
    for (int64_t i = count; i < filled; ++i)
      for (int lane = 0; lane < HALF; ++lane) weights[(half + lane) * stride + i] = 0;
    const Floats less = exponential(before - top);
    const Floats all = load<Floats>(sum + half) * less + total;
    std::memcpy(largest + half, &top, sizeof top);
    std::memcpy(sum + half, &all, sizeof all);
    std::memcpy(shrink + half, &less, sizeof less);
  }
}

[[maybe_unused]] void normalise(const bf16 *x, int64_t width, const bf16 *weight, float epsilon, bf16 *y) {
  Floats squares = {};
  const int64_t whole = width / HALF * HALF;
  for (int64_t i = 0; i < whole; i += HALF) {
    const Floats some = widened(x + i);
    squares += some * some;
  }
  float sum = 0.0f;
  for (int lane = 0; lane < HALF; ++lane) sum += squares[lane];
  for (int64_t i = whole; i < width; ++i) sum += widen(x[i]) * widen(x[i]);
  const float scale = 1.0f / __builtin_sqrtf(sum / width + epsilon);
  for (int64_t i = 0; i < whole; i += HALF) {
    const Halves out = rounded(widened(x + i) * scale * widened(weight + i));
    std::memcpy(y + i, &out, sizeof out);
  }
  float last[HALF] = {};
  for (int64_t i = whole; i < width; ++i) last[i - whole] = widen(x[i]) * scale * widen(weight[i]);
  narrow(last, y + whole, width - whole);
}

[[maybe_unused]] uint64_t read(const void *memory, int64_t bytes) {
  typedef uint64_t Longs __attribute__((vector_size(64)));
  Longs mixed[4] = {};
  const char *at = static_cast<const char *>(memory), *end = at + bytes / 256 * 256;
  for (; at < end; at += 256) {
    for (int i = 0; i < 4; ++i) __builtin_prefetch(at + 8192 + 64 * i);
    for (int i = 0; i < 4; ++i) mixed[i] ^= load<Longs>(at + 64 * i);
  }
  const Longs all = mixed[0] ^ mixed[1] ^ mixed[2] ^ mixed[3];
  return all[0] ^ all[1] ^ all[2] ^ all[3] ^ all[4] ^ all[5] ^ all[6] ^ all[7];
}

constexpr int ROWS = 8;  // of a pass over a panel
#if defined(__AVX512F__)
constexpr int ROWS_A_TILE = ROWS;
#else
constexpr int ROWS_A_TILE = SMALL_TILE;
#endif

template <int COUNT>
[[maybe_unused]] void product_of(const void *from, int64_t inputs, const void *rows, int64_t stride,
                                 float (*out)[PANEL]) {
  const char *panel = static_cast<const char *>(from);
  const char *x = static_cast<const char *>(rows);
  Floats low[COUNT], high[COUNT];
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) low[r] = high[r] = Floats{};
  for (int64_t k = 0; k < inputs; k += 2, panel += 128, x += 4) {
    __builtin_prefetch(panel + AHEAD);
    __builtin_prefetch(panel + AHEAD + 64);
    const Words first = load<Words>(panel), second = load<Words>(panel + 64);
    const Words odd_bits = Words{} + 0xffff0000u;
#pragma GCC unroll 8
    for (int r = 0; r < COUNT; ++r) {
      bf16 pair[2];
      std::memcpy(pair, x + r * stride, sizeof pair);
      const float even = widen(pair[0]), odd = widen(pair[1]);
      low[r] += (Floats)(first << 16) * even;
      low[r] += (Floats)(first & odd_bits) * odd;
      high[r] += (Floats)(second << 16) * even;
      high[r] += (Floats)(second & odd_bits) * odd;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < COUNT; ++r) {
    std::memcpy(out[r], &low[r], sizeof(Floats));
    std::memcpy(out[r] + HALF, &high[r], sizeof(Floats));
  }
}

[[maybe_unused]] void product(const void *panel, int64_t inputs, const void *x, int64_t stride, int count,
                              float (*out)[PANEL]) {
  by_tiles<ROWS_A_TILE>(count, [&](auto some, int row) {
    product_of<some.value>(panel, inputs, row_at(x, row, stride), stride, out + row);
  });
}

}  // namespace
}  // namespace centime
