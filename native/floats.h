// Products of float32 matrices where they stand.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "kernels.h"

namespace centime {

// A matrix' number (r, k) is at[r * row + k * step].
struct Numbers {
  const float *at;
  int64_t row, step;

  Numbers from(int64_t r, int64_t k = 0) const { return {at + r * row + k * step, row, step}; }
};

constexpr int64_t whole_panels(int64_t columns) { return (columns + FLOAT_PANEL - 1) / FLOAT_PANEL * FLOAT_PANEL; }

// How far apart rows of so many numbers stand, so that a column of panels does not meet in few lines of a cache: an odd
// number of lines.
constexpr int64_t apart(int64_t columns) { return whole_panels(columns) / FLOAT_PANEL / 2 * 2 * FLOAT_PANEL + FLOAT_PANEL; }

// Memory for a while, on the border of a line; a large one of large pages, where the system gives them to who asks.
class Room {
 public:
  explicit Room(int64_t count) : border_(count * int64_t(sizeof(float)) < LARGE ? std::align_val_t(64) : std::align_val_t(LARGE)) {
    own_ = static_cast<float *>(::operator new(count * sizeof(float), border_));
#if defined(__linux__)
    if (border_ == std::align_val_t(LARGE)) madvise(own_, count * sizeof(float) / LARGE * LARGE, MADV_HUGEPAGE);
#endif
  }
  Room(const Room &) = delete;
  Room &operator=(const Room &) = delete;
  ~Room() { ::operator delete(own_, border_); }
  operator float *() const { return own_; }

 private:
  static constexpr int64_t LARGE = 2 << 20;  // bytes
  std::align_val_t border_;
  float *own_;
};

// to [columns, to_stride] = from [rows, stride] transposed, in blocks whose lines a cache holds.
inline void transpose(const float *from, int64_t rows, int64_t columns, int64_t stride, float *to, int64_t to_stride) {
  constexpr int64_t BLOCK = 16;
  for (int64_t r = 0; r < rows; r += BLOCK)
    for (int64_t c = 0; c < columns; c += BLOCK)
      for (int64_t i = r; i < std::min(r + BLOCK, rows); ++i)
        for (int64_t j = c; j < std::min(c + BLOCK, columns); ++j) to[j * to_stride + i] = from[i * stride + j];
}

// Rows `begin` to `end` of out = left right, in tiles none much smaller than another; all columns of right's panels from
// `first` to `last`.
inline void multiply_floats(const FloatKernels &kernel, int64_t begin, int64_t end, int64_t first, int64_t last,
                            int64_t depth, const Numbers &left, const float *right, int64_t right_step, float *out,
                            int64_t stride, bool add = false) {
  for (int64_t column = first; column < last; column += FLOAT_PANEL)
    for (int64_t tiles = (end - begin + kernel.tile_rows - 1) / kernel.tile_rows, row = begin; tiles; --tiles) {
      const int64_t some = (end - row + tiles - 1) / tiles;
      kernel.tile(some, depth, left.at + row * left.row, left.row, left.step, right + column, right_step,
                  out + row * stride + column, stride, add);
      row += some;
    }
}

}  // namespace centime
