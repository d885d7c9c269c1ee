// Products with matrices in panels.
#include <algorithm>
#include <atomic>
#include <vector>

#include "centime.h"
#include "matrix.h"
#include "pool.h"

namespace centime {

// Bytes of a matrix that one thread takes at a time: enough to be worth a ticket, and no more than a cache holds.
constexpr int64_t LEAST = 16 << 10, PIECE = 64 << 10;
// Bytes of it that a core's cache keeps while many rows pass.
constexpr int64_t KEPT = 256 << 10;

// ROWS_A_READ rows take as long as reading the panel.
int64_t panels_a_piece(int64_t panels, int64_t bytes, int64_t rows) {
  constexpr int64_t ROWS_A_READ = 8;
  const int64_t cost = (bytes + 1) * (1 + rows / ROWS_A_READ);
  const int64_t evenly = panels / (2 * threads()), least = (LEAST + cost - 1) / cost;
  const int64_t most = rows > MOST_ROWS ? KEPT / (bytes + 1) : PIECE / cost;
  return std::max(std::min(most, evenly), std::max<int64_t>(least, 1));
}

void cut(std::vector<Piece> &pieces, int64_t which, int64_t panels, int64_t bytes, int64_t rows) {
  const int64_t step = panels_a_piece(panels, bytes, rows);
  for (int64_t begin = 0; begin < panels; begin += step)
    pieces.push_back({which, begin, std::min(begin + step, panels)});
}

Rows::Rows(const Kernels &kernel, const Matrix &matrix, const bf16 *x, int64_t count, int64_t stride)
    : first_(reinterpret_cast<const char *>(x)),
      stride_(stride * sizeof(bf16)),
      bytes_(matrix.inputs * sizeof(bf16)) {
  if (!matrix.whole() && !kernel.products[matrix.kind].floats) return;
  constexpr int64_t TOGETHER = 16;  // rows of a piece
  stride_ = bytes_ = matrix.whole() ? (matrix.inputs + GROUP - 1) / GROUP * sizeof(Group) : float_row(matrix.inputs);
  own_.reset(new char[count * bytes_]);
  first_ = own_.get();
  shared((count + TOGETHER - 1) / TOGETHER, [&](int64_t piece) {
    for (int64_t row = piece * TOGETHER; row < std::min((piece + 1) * TOGETHER, count); ++row) {
      char *to = own_.get() + row * bytes_;
      if (matrix.whole())
        kernel.whole(x + row * stride, matrix.inputs, reinterpret_cast<Group *>(to));
      else
        kernel.floats(x + row * stride, reinterpret_cast<float *>(to), matrix.inputs);
    }
  });
}

Rows::Rows(const Rows &of, const int64_t *which, int64_t count)
    : own_(new char[count * of.bytes_]), first_(own_.get()), stride_(of.bytes_), bytes_(of.bytes_) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(own_.get() + i * bytes_, of.row(which[i]), bytes_);
}

void multiply(const Kernels &kernel, const std::vector<Multiplication> &all, int64_t rows) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < all.size(); ++i) cut(pieces, i, all[i].matrix.count(), all[i].matrix.bytes(), rows);
  shared(pieces.size(), [&](int64_t number) {
    alignas(64) float sums[MOST_ROWS][PANEL];
    const auto &[which, begin, end] = pieces[number];
    const auto &[matrix, x, y, stride] = all[which];
    for (int64_t row = 0; row < rows; row += matrix.rows(kernel)) {  // a cache keeps them while panels pass
      const int some = std::min<int64_t>(rows - row, matrix.rows(kernel));
      for (int64_t panel = begin; panel < end; ++panel) {
        const int64_t first = panel * PANEL, width = std::min<int64_t>(matrix.outputs - first, PANEL);
        kernel.products[matrix.kind].of(matrix.panel(panel), matrix.inputs, x.row(row), x.stride(), some, sums);
        for (int r = 0; r < some; ++r) kernel.narrow(sums[r], y + (row + r) * stride + first, width);
      }
    }
  });
}

}  // namespace centime

using namespace centime;

extern "C" uint64_t centime_read(const void *memory, int64_t bytes) {
  const Kernels &kernel = kernels();
  const int64_t step = PIECE, count = (bytes + step - 1) / step;
  std::atomic<uint64_t> mixed{0};
  shared(count, [&](int64_t piece) {
    const int64_t first = piece * step, rest = bytes - first;
    mixed.fetch_xor(kernel.read(static_cast<const char *>(memory) + first, rest < step ? rest : step),
                    std::memory_order_relaxed);
  });
  return mixed.load();
}

extern "C" void centime_by_heads(const bf16 *x, int64_t rows, int64_t heads, int64_t row_stride, int64_t head_stride,
                                 const centime_matrix *weight, bf16 *y, int64_t y_row_stride, int64_t y_head_stride) {
  const Kernels &kernel = kernels();
  const Matrix stack(*weight);
  std::vector<Rows> inputs;
  inputs.reserve(heads);
  std::vector<Multiplication> all;
  for (int64_t head = 0; head < heads; ++head) {
    inputs.emplace_back(kernel, stack, x + head * head_stride, rows, row_stride);
    all.push_back({stack.of(head, stack.count()), inputs.back(), y + head * y_head_stride, y_row_stride});
  }
  multiply(kernel, all, rows);
}

extern "C" void centime_linear(const bf16 *x, int64_t rows, int64_t row_stride, const centime_matrix *weight, bf16 *y) {
  centime_by_heads(x, rows, 1, row_stride, 0, weight, y, weight->outputs, 0);
}
