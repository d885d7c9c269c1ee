// A matrix in panels of whichever kind, and rows of an input as that kind wants them.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "kernels.h"

namespace centime {

// How many panels make a piece of a shared loop, where so many bytes a panel meet so many rows.
int64_t panels_a_piece(int64_t panels, int64_t bytes, int64_t rows);

// A piece of a loop over several matrices' panels.
struct Piece {
  int64_t which, begin, end;
};

// Adds the pieces of one more matrix.
void cut(std::vector<Piece> &pieces, int64_t which, int64_t panels, int64_t bytes, int64_t rows);

struct Matrix {
  const char *panels;
  int64_t outputs, inputs;
  int32_t kind;

  Matrix(const centime_matrix &of)
      : panels(static_cast<const char *>(of.panels)), outputs(of.outputs), inputs(of.inputs), kind(of.kind) {}

  // Of a panel.
  int64_t bytes() const {
    if (kind == CENTIME_BF16) return inputs * PANEL * sizeof(bf16);
    const int64_t groups = (inputs + GROUP - 1) / GROUP;
    if (kind == CENTIME_FP8) return fp8_scales_bytes(inputs) + groups * FP8_GROUP_BYTES;
    return groups * group_bytes(kind == CENTIME_INT8 ? 8 : 4);
  }
  int64_t count() const { return (outputs + PANEL - 1) / PANEL; }
  int64_t gated_count() const { return (outputs + HALF - 1) / HALF; }
  bool whole() const { return kind == CENTIME_INT8 || kind == CENTIME_INT4; }
  int rows(const Kernels &kernel) const { return kernel.products[kind].rows; }
  const char *panel(int64_t number) const { return panels + number * bytes(); }

  // The one of that number in a stack of such, each of `count` panels.
  Matrix of(int64_t number, int64_t count) const {
    Matrix one = *this;
    one.panels = panel(number * count);
    return one;
  }
};

// Bytes from one row of floats to the next: whole lines of a cache, an odd number of them, so that rows of the usual
// sizes do not fall into the same places of a cache.
constexpr int64_t float_row(int64_t numbers) { return ((numbers * sizeof(float) + 63) / 64 | 1) * 64; }

// `count` rows of numbers, `stride` of them apart, as a product wants them: where they are, or as whole numbers or floats
// in memory of their own.
class Rows {
 public:
  Rows(const Kernels &kernel, const Matrix &matrix, const bf16 *x, int64_t count, int64_t stride);

  // The same rows in another order, or some of them, or some twice: one behind the other.
  Rows(const Rows &of, const int64_t *which, int64_t count);

  const char *row(int64_t number) const { return first_ + number * stride_; }
  int64_t stride() const { return stride_; }  // bytes

 private:
  std::unique_ptr<char[]> own_;
  const char *first_;
  int64_t stride_, bytes_;
};

// y = x W^T: rows of y are `stride` numbers apart.
struct Multiplication {
  Matrix matrix;
  const Rows &x;
  bf16 *y;
  int64_t stride;
};

// All of them, of `rows` rows each, in one shared loop.
void multiply(const Kernels &kernel, const std::vector<Multiplication> &all, int64_t rows);

// y [rows, D] as centime_experts has it, and with an expert more that all rows visit where `shared_gate_up` is given.
struct Feeding {
  Matrix gate_up, down;
  int64_t experts;
  const Matrix *shared_gate_up, *shared_down;
};
void feed(const Kernels &kernel, const Feeding &layer, const bf16 *x, int64_t rows, const int64_t *experts,
          const float *gates, int64_t chosen, bf16 *y);

}  // namespace centime
