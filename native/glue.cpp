// What stands between products: normalisation, rotation, and the choice of experts.
#include <algorithm>
#include <cmath>
#include <vector>

#include "centime.h"
#include "matrix.h"
#include "pool.h"

using namespace centime;

extern "C" void centime_rms_norm(const bf16 *x, int64_t rows, int64_t row_stride, int64_t width, const bf16 *weight,
                                 float epsilon, bf16 *y, int64_t y_row_stride) {
  const Kernels &kernel = kernels();
  for (int64_t row = 0; row < rows; ++row)
    kernel.normalise(x + row * row_stride, width, weight, epsilon, y + row * y_row_stride);
}

extern "C" void centime_rope(const bf16 *x, int64_t rows, int64_t heads, int64_t row_stride, int64_t head_stride,
                             const float *cosines, const float *sines, int64_t half, int32_t interleaved, bf16 *y,
                             int64_t y_row_stride, int64_t y_head_stride) {
  const Kernels &kernel = kernels();
  std::vector<float> turned(2 * half);
  const int64_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t head = 0; head < heads; ++head) {
      const bf16 *from = x + row * row_stride + head * head_stride;
      for (int64_t i = 0; i < half; ++i) {
        const float first = widen(from[i * step]), second = widen(from[i * step + apart]);
        const float cosine = cosines[row * half + i], sine = sines[row * half + i];
        turned[i * step] = first * cosine - second * sine;
        turned[i * step + apart] = first * sine + second * cosine;
      }
      kernel.narrow(turned.data(), y + row * y_row_stride + head * y_head_stride, 2 * half);
    }
}

namespace {

// The places of the `count` largest of `values`, the earlier one of equals, in any order; NaN counts as the largest.
void best(const float *values, int64_t number, int64_t count, std::vector<int64_t> &places) {
  places.resize(number);
  for (int64_t i = 0; i < number; ++i) places[i] = i;
  const auto before = [values](int64_t a, int64_t b) {
    const bool nan_a = std::isnan(values[a]), nan_b = std::isnan(values[b]);
    if (nan_a != nan_b) return nan_a;
    return !nan_a && values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  if (count < number) std::nth_element(places.begin(), places.begin() + count, places.end(), before);
  places.resize(count);
}

}  // namespace

extern "C" void centime_route(const centime_router *router, const bf16 *x, int64_t rows, float *scores, int64_t *ids,
                              float *gates) {
  const Kernels &kernel = kernels();
  const Matrix matrix(router->weight);
  const int64_t experts = matrix.outputs, width = matrix.inputs, most = matrix.rows(kernel);
  const auto &[weight, bias, groups, kept, chosen, factor, softmax, group_by, normalise] = *router;
  const Rows x_rows(kernel, matrix, x, rows, width);
  shared(matrix.count(), [&](int64_t panel) {
    alignas(64) float sums[MOST_ROWS][PANEL];
    const int64_t first = panel * PANEL, some = std::min<int64_t>(PANEL, experts - first);
    for (int64_t row = 0; row < rows; row += most) {
      const int taken = std::min<int64_t>(most, rows - row);
      kernel.products[matrix.kind].of(matrix.panel(panel), width, x_rows.row(row), x_rows.stride(), taken, sums);
      for (int r = 0; r < taken; ++r) std::copy_n(sums[r], some, scores + (row + r) * experts + first);
    }
  });
  std::vector<float> choice(experts), worth(groups);
  std::vector<int64_t> places, open;
  for (int64_t row = 0; row < rows; ++row) {
    float *own = scores + row * experts;
    if (softmax) {
      const float top = *std::max_element(own, own + experts);
      float sum = 0.0f;
      for (int64_t e = 0; e < experts; ++e) sum += own[e] = std::exp(own[e] - top);
      for (int64_t e = 0; e < experts; ++e) own[e] /= sum;
    } else {
      for (int64_t e = 0; e < experts; ++e) own[e] = 1.0f / (1.0f + std::exp(-own[e]));
    }
    for (int64_t e = 0; e < experts; ++e) choice[e] = bias ? own[e] + bias[e] : own[e];
    if (group_by && kept < groups) {
      const int64_t size = experts / groups;
      for (int64_t g = 0; g < groups; ++g) {
        best(&choice[g * size], size, std::min<int64_t>(group_by, size), places);
        worth[g] = 0.0f;
        for (int64_t place : places) worth[g] += choice[g * size + place];
      }
      best(worth.data(), groups, kept, open);
      for (int64_t g = 0; g < groups; ++g)
        if (std::find(open.begin(), open.end(), g) == open.end())
          std::fill_n(&choice[g * size], size, -INFINITY);
    }
    best(choice.data(), experts, chosen, places);
    float sum = 0.0f;
    for (int64_t k = 0; k < chosen; ++k) sum += own[places[k]];
    for (int64_t k = 0; k < chosen; ++k) {
      ids[row * chosen + k] = places[k];
      gates[row * chosen + k] = (normalise ? own[places[k]] / (sum + 1e-20f) : own[places[k]]) * factor;
    }
  }
}
