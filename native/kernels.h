// What differs between processors: one table of functions for each kind.
#pragma once

#include <cstdint>

#include "centime.h"

namespace centime {

using bf16 = centime_bf16;

constexpr int PANEL = 32;        // outputs of a panel
constexpr int HALF = PANEL / 2;  // of them in one vector
constexpr int AHEAD = 8192;      // bytes from where a panel is read to where it is fetched
constexpr int MOST_ROWS = 32;    // rows that one pass over a panel multiplies, at most
constexpr int GROUP = 32;        // inputs that have one scale, where numbers have any
constexpr int KINDS = 4;         // of matrices
constexpr int FLOAT_PANEL = 16;  // columns of a tile of a float32 product

// A group of an input's row as whole numbers, where its matrix is one of whole numbers.
struct Group {
  int8_t codes[GROUP];
  float scale;
  int32_t sum;  // of the codes: what numbers that are kept with an addend make too much
};

// What a group of a panel of whole numbers takes: numbers of `bits` each, and the scales.
constexpr int64_t group_bytes(int bits) { return PANEL * GROUP * bits / 8 + PANEL * 2; }

// What the scales before a panel of FP8 take, and a group of it.
constexpr int64_t fp8_scales_bytes(int64_t inputs) { return ((inputs + GROUP - 1) / GROUP * 8 + 63) / 64 * 64; }
constexpr int64_t FP8_GROUP_BYTES = PANEL * GROUP;

// out[r][o] = sum over i of x[r][i] panel[o][i] for `count` rows, as their kind of matrix wants them, `stride` bytes
// apart.
using Product = void (*)(const void *panel, int64_t inputs, const void *x, int64_t stride, int count,
                         float (*out)[PANEL]);

// A product, how many rows one pass over a panel multiplies (at most MOST_ROWS), and whether it takes rows of bf16
// numbers as floats: what only the product knows, so that no table can hand it others.
struct PanelProduct {
  Product of;
  int rows;
  bool floats = false;
};

// One piece of an online softmax over 32 heads: weights[h * stride + i] = e^(scale scores[i][h] - m) for i below `count`
// and 0 up to `filled`, m the larger of largest[h] and of these scores; shrink[h] = e^(largest[h] - m); largest and sum
// are brought up to date.
using Soften = void (*)(const float (*scores)[PANEL], int64_t count, int64_t filled, float scale, float *largest,
                        float *sum, float *shrink, bf16 *weights, int64_t stride);

// out[r * stride + c] = sum over k of left[r * row + k * step] right[k * right_step + c] for FLOAT_PANEL columns and
// `count` rows; what is there already is added to the sum where `add`.
using FloatTile = void (*)(int count, int64_t depth, const float *left, int64_t row, int64_t step, const float *right,
                           int64_t right_step, float *out, int64_t stride, bool add);

struct Kernels {
  const char *name;
  bool (*runs)();  // whether this processor has the instructions

  PanelProduct products[KINDS];

  // to[g] = a row's inputs in groups, the last one filled up with zeros. Of what is no number the scale is none either.
  void (*whole)(const bf16 *row, int64_t inputs, Group *to);

  // to[i] = from[i] in float32, `count` of them.
  void (*floats)(const bf16 *from, float *to, int64_t count);

  // to[i] = from[i], rounded to the nearest, ties to even; `count` of them.
  void (*narrow)(const float *from, bf16 *to, int64_t count);

  // to[i] += from[i], rounded as above.
  void (*add)(const bf16 *from, bf16 *to, int64_t count);

  // to[i] = silu(both[i]) * both[HALF + i] of a panel of a gated matrix, HALF of them.
  void (*gated)(const float *both, bf16 *to);

  // Rows [count, stride] as panels of `columns` outputs whose inputs are the rows: what a product with them sums over.
  // `count` is even; outputs past `columns` are zero.
  void (*interleave)(const bf16 *rows, int64_t stride, int64_t count, int64_t columns, bf16 *panels);

  Soften soften;

  // scores[i][r] = q[r] . keys[i] for i below `count`; all rows have `width` numbers, a multiple of HALF.
  void (*row_scores)(const float *q, int64_t rows, const bf16 *keys, int64_t count, int64_t width,
                     float (*scores)[PANEL]);

  // context[r] = context[r] shrink[r] + sum over i of weights[r * stride + i] values[i], of rows as above.
  void (*row_mix)(const float *weights, int64_t rows, int64_t stride, const float *shrink, const bf16 *values,
                  int64_t count, int64_t width, float *context);

  // y = x / sqrt(mean(x^2) + epsilon) * weight.
  void (*normalise)(const bf16 *x, int64_t width, const bf16 *weight, float epsilon, bf16 *y);

  // The exclusive or of the memory's whole blocks of 256 bytes, in words of 8.
  uint64_t (*read)(const void *memory, int64_t bytes);
};

// What training computes with in float32.
struct FloatKernels {
  int tile_rows;  // of a tile of a float32 product, at most
  FloatTile tile;

  // The largest of a row's numbers, whole FLOAT_PANELs of them.
  float (*largest)(const float *row, int64_t count);

  // row[i] = e^(row[i] - top) for whole FLOAT_PANELs of numbers; their sum.
  float (*exponentials)(float *row, int64_t count, float top);

  // to[i] += from[i] for whole FLOAT_PANELs of numbers.
  void (*add_floats)(const float *from, float *to, int64_t count);

  // to[i] = gate silu(both[i]) both[width + i], the width whole FLOAT_PANELs.
  void (*gated_floats)(const float *both, int64_t width, float gate, float *to);

  // The same again in to[i], and from its gradient that of both; the gate's is what it returns.
  float (*gated_floats_back)(const float *both, const float *grad, int64_t width, float gate, float *to,
                             float *grad_both);
};

extern const Kernels PORTABLE;
extern const FloatKernels PORTABLE_FLOATS;
// Those that the compiler, or the kind of processor, does not know are at address null.
extern const Kernels AMX __attribute__((weak));
extern const Kernels AVX512_BF16 __attribute__((weak));
extern const Kernels AVX512_VNNI __attribute__((weak));
extern const Kernels AVX512 __attribute__((weak));
extern const Kernels AVX2 __attribute__((weak));
extern const FloatKernels AVX2_FLOATS __attribute__((weak));

const Kernels &kernels();  // the best that this processor runs, or the ones that were chosen
const FloatKernels &float_kernels();  // those of AVX2 beside all but the portable ones

[[maybe_unused]] static inline float widen(bf16 number) {
  union {
    uint32_t bits;
    float value;
  } both = {static_cast<uint32_t>(number) << 16};
  return both.value;
}

}  // namespace centime
