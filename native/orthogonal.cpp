// Newton-Schulz's iteration of many small matrices, each from its first step to its last in one thread's cache.
#include <cmath>

#include "centime.h"
#include "floats.h"
#include "pool.h"

namespace centime {
namespace {

// out = left right of which a symmetric matrix comes, [size, size]: what stands left of its diagonal's panels is copied
// from the other side.
void symmetric(const FloatKernels &kernel, int64_t size, int64_t depth, const Numbers &left, const float *right, float *out,
               int64_t stride) {
  for (int64_t tiles = (size + kernel.tile_rows - 1) / kernel.tile_rows, row = 0; tiles; --tiles) {
    const int64_t some = (size - row + tiles - 1) / tiles;
    multiply_floats(kernel, row, row + some, row / FLOAT_PANEL * FLOAT_PANEL, whole_panels(size), depth, left, right,
                    stride, out, stride);
    row += some;
  }
  for (int64_t row = 1; row < size; ++row)
    for (int64_t column = 0; column < row; ++column) out[row * stride + column] = out[column * stride + row];
}

void orthogonalise(const FloatKernels &kernel, float *matrix, int64_t rows, int64_t columns, const float *coefficients,
                   int64_t steps) {
  // Tall, so that both products of X^T X and X (X^T X) read rows of it.
  const int64_t size = std::min(rows, columns), length = std::max(rows, columns), stride = apart(size);
  const Room x(length * stride), next(length * stride), gram(size * stride), mixed(size * stride);
  double squares = 0.0;
  for (int64_t i = 0; i < rows * columns; ++i) squares += double(matrix[i]) * matrix[i];
  const float norm = float(std::sqrt(squares)) + 1e-20f;
  for (int64_t i = 0; i < rows * columns; ++i) matrix[i] /= norm;
  std::fill_n(static_cast<float *>(x), length * stride, 0.0f);
  if (rows < columns)
    transpose(matrix, rows, columns, columns, x, stride);
  else
    for (int64_t r = 0; r < rows; ++r) std::copy_n(matrix + r * columns, columns, x + r * stride);
  float *from = x, *to = next;
  for (int64_t step = 0; step < steps; ++step, std::swap(from, to)) {
    const float a = coefficients[3 * step], b = coefficients[3 * step + 1], c = coefficients[3 * step + 2];
    symmetric(kernel, size, length, {from, 1, stride}, from, gram, stride);
    symmetric(kernel, size, size, {gram, stride, 1}, gram, mixed, stride);
    for (int64_t r = 0; r < size; ++r) {
      for (int64_t i = 0; i < stride; ++i) mixed[r * stride + i] = b * gram[r * stride + i] + c * mixed[r * stride + i];
      mixed[r * stride + r] += a;
    }
    multiply_floats(kernel, 0, length, 0, whole_panels(size), size, {from, stride, 1}, mixed, stride, to, stride);
  }
  if (rows < columns)
    transpose(from, columns, rows, stride, matrix, columns);
  else
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * stride, columns, matrix + r * columns);
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_orthogonalise(float *matrices, int64_t count, int64_t rows, int64_t columns,
                                      const float *coefficients, int64_t steps) {
  const FloatKernels &kernel = float_kernels();
  shared(count, [&](int64_t which) {
    orthogonalise(kernel, matrices + which * rows * columns, rows, columns, coefficients, steps);
  });
}
