// Products with matrices in panels.
#include <algorithm>
#include <atomic>

#include "centime.h"
#include "kernels.h"
#include "pool.h"

namespace centime {

// Bytes of a matrix that one thread takes at a time: enough to be worth a ticket, and no more than a cache holds.
constexpr int64_t LEAST = 16 << 10, PIECE = 64 << 10;

// ROWS_A_READ rows take as long as reading the panel.
int64_t panels_a_piece(int64_t panels, int64_t pairs, int64_t rows) {
  constexpr int64_t ROWS_A_READ = 8;
  const int64_t cost = (pairs + 1) * 4 * PANEL * (1 + rows / ROWS_A_READ);
  const int64_t evenly = panels / (2 * threads()), least = (LEAST + cost - 1) / cost;
  return std::max(std::min(PIECE / cost, evenly), std::max<int64_t>(least, 1));
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
                                 const bf16 *panels, int64_t outputs, int64_t inputs, bf16 *y, int64_t y_row_stride,
                                 int64_t y_head_stride) {
  const Kernels &kernel = kernels();
  const int64_t pairs = inputs / 2, each = (outputs + PANEL - 1) / PANEL, count = heads * each;
  const int64_t step = panels_a_piece(count, pairs, rows);
  shared((count + step - 1) / step, [&](int64_t piece) {
    alignas(64) float sums[MOST_ROWS][PANEL];
    const int64_t end = (piece + 1) * step < count ? (piece + 1) * step : count;
    for (int64_t panel = piece * step; panel < end; ++panel) {
      const int64_t head = panel / each, first = panel % each * PANEL;
      const int64_t width = outputs - first < PANEL ? outputs - first : PANEL;
      const bf16 *from = x + head * head_stride;
      bf16 *to = y + head * y_head_stride + first;
      for (int64_t row = 0; row < rows; row += kernel.rows) {
        const int some = rows - row < kernel.rows ? rows - row : kernel.rows;
        kernel.product(panels + panel * pairs * 2 * PANEL, pairs, from + row * row_stride, row_stride, some, sums);
        for (int r = 0; r < some; ++r) kernel.narrow(sums[r], to + (row + r) * y_row_stride, width);
      }
    }
  });
}

extern "C" void centime_linear(const bf16 *x, int64_t rows, int64_t row_stride, const bf16 *panels, int64_t outputs,
                               int64_t inputs, bf16 *y) {
  centime_by_heads(x, rows, 1, row_stride, 0, panels, outputs, inputs, y, outputs, 0);
}
