// Cross entropy from hidden states, its gradients with it: a block of rows' logits exist at a time.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "centime.h"
#include "floats.h"
#include "pool.h"

namespace centime {
namespace {

constexpr int64_t BLOCK = 128;   // rows whose logits exist at a time
constexpr int64_t WIDE = 16;     // panels of outputs, or of a hidden state's numbers, that a thread takes at a time
constexpr int64_t CHUNK = 256;   // outputs that a piece of grad_hidden sums over before the next: a first cache's worth
constexpr float NONE = std::numeric_limits<float>::quiet_NaN();

// What the products of all blocks read of W [O, D].
struct Head {
  int64_t outputs, width;
  Room by_outputs;  // [panels of outputs, D, 16], filled up with zeros: what logits are a product with
  Room by_width;    // [panels of D, O, 16]: what grad_hidden is

  Head(const float *weight, int64_t outputs, int64_t width, bool gradients)
      : outputs(outputs),
        width(width),
        by_outputs(whole_panels(outputs) * width),
        by_width(gradients ? outputs * width : 0) {
    shared(panels(), [&](int64_t panel) {
      const int64_t first = panel * FLOAT_PANEL, some = std::min<int64_t>(outputs - first, FLOAT_PANEL);
      float *to = by_outputs + first * width;
      if (some < FLOAT_PANEL) std::fill_n(to, width * FLOAT_PANEL, 0.0f);
      for (int64_t o = 0; o < some; ++o)
        for (int64_t d = 0; d < width; ++d) to[d * FLOAT_PANEL + o] = weight[(first + o) * width + d];
      if (!gradients) return;
      for (int64_t d = 0; d < width; d += FLOAT_PANEL)
        for (int64_t o = first; o < first + some; ++o)
          std::memcpy(by_width + d * outputs + o * FLOAT_PANEL, weight + o * width + d, FLOAT_PANEL * sizeof(float));
    });
  }
  int64_t panels() const { return whole_panels(outputs) / FLOAT_PANEL; }
};

// logits[r] = W hidden[r]; columns past the last output are -infinity.
void project(const FloatKernels &kernel, const Head &head, const float *hidden, int64_t rows, float *logits,
             int64_t stride) {
  shared((head.panels() + WIDE - 1) / WIDE, [&](int64_t piece) {
    for (int64_t panel = piece * WIDE; panel < std::min((piece + 1) * WIDE, head.panels()); ++panel)
      multiply_floats(kernel, 0, rows, 0, FLOAT_PANEL, head.width, {hidden, head.width, 1},
                      head.by_outputs + panel * FLOAT_PANEL * head.width, FLOAT_PANEL, logits + panel * FLOAT_PANEL,
                      stride);
  });
  for (int64_t r = 0; r < rows; ++r)
    std::fill(logits + r * stride + head.outputs, logits + r * stride + whole_panels(head.outputs), -INFINITY);
}

// Logits become e^(logit - the row's largest), less their sum at the target: the gradient of a row's loss but for the
// factor 1 / sum. losses and sums are of rows.
void soften_rows(const FloatKernels &kernel, const Head &head, const int64_t *targets, int64_t rows, float *logits,
                 int64_t stride, float *losses, float *sums) {
  constexpr int64_t SOME = 8;
  shared((rows + SOME - 1) / SOME, [&](int64_t piece) {
    for (int64_t r = piece * SOME; r < std::min((piece + 1) * SOME, rows); ++r) {
      float *row = logits + r * stride;
      const bool there = targets[r] >= 0 && targets[r] < head.outputs;
      const float top = kernel.largest(row, whole_panels(head.outputs));
      const float of_target = there ? row[targets[r]] - top : NONE;
      sums[r] = kernel.exponentials(row, whole_panels(head.outputs), top);
      losses[r] = std::log(sums[r]) - of_target;
      if (there) row[targets[r]] -= sums[r];
    }
  });
}

// grad_hidden[r] = scales[r] sum over o of slopes[r][o] W[o].
void back_to_hidden(const FloatKernels &kernel, const Head &head, const float *slopes, int64_t stride, const float *scales,
                    int64_t rows, float *grad_hidden) {
  constexpr int64_t SOME = 4 * FLOAT_PANEL;  // of a hidden state's numbers
  shared((head.width + SOME - 1) / SOME, [&](int64_t piece) {
    const int64_t begin = piece * SOME, end = std::min(begin + SOME, head.width);
    for (int64_t first = 0; first < head.outputs; first += CHUNK)
      for (int64_t d = begin; d < end; d += FLOAT_PANEL)
        multiply_floats(kernel, 0, rows, 0, FLOAT_PANEL, std::min(CHUNK, head.outputs - first),
                        {slopes + first, stride, 1}, head.by_width + d * head.outputs + first * FLOAT_PANEL,
                        FLOAT_PANEL, grad_hidden + d, head.width, first > 0);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = begin; d < end; ++d) grad_hidden[r * head.width + d] *= scales[r];
  });
}

// grad_weight[o] (+)= sum over r of slopes[r][o] scaled[r].
void back_to_weight(const FloatKernels &kernel, const Head &head, const float *slopes, int64_t stride, const float *scaled,
                    int64_t rows, float *grad_weight, bool add) {
  constexpr int64_t SOME = WIDE * FLOAT_PANEL;
  shared((head.outputs + SOME - 1) / SOME, [&](int64_t piece) {
    const int64_t end = std::min((piece + 1) * SOME, head.outputs);
    for (int64_t first = piece * SOME; first < end; first += kernel.tile_rows)
      multiply_floats(kernel, first, std::min<int64_t>(first + kernel.tile_rows, end), 0, head.width, rows,
                      {slopes, 1, stride}, scaled, head.width, grad_weight, head.width, add);
  });
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" float centime_cross_entropy(const float *hidden, int64_t rows, int64_t width, const float *weight,
                                       int64_t outputs, const int64_t *targets, const float *weights,
                                       float *grad_hidden, float *grad_weight) {
  const FloatKernels &kernel = float_kernels();
  const Head head(weight, outputs, width, grad_weight != nullptr);
  const int64_t stride = apart(outputs);
  const Room logits(BLOCK * stride), scaled(BLOCK * width);
  float losses[BLOCK], sums[BLOCK], scales[BLOCK];
  double loss = 0.0;
  if (grad_weight && !rows) std::fill_n(grad_weight, outputs * width, 0.0f);
  for (int64_t first = 0; first < rows; first += BLOCK) {
    const int64_t some = std::min(BLOCK, rows - first);
    project(kernel, head, hidden + first * width, some, logits, stride);
    soften_rows(kernel, head, targets + first, some, logits, stride, losses, sums);
    for (int64_t r = 0; r < some; ++r) {
      loss += double(weights[first + r]) * losses[r];
      scales[r] = weights[first + r] / sums[r];
      for (int64_t d = 0; d < width; ++d) scaled[r * width + d] = hidden[(first + r) * width + d] * scales[r];
    }
    if (!grad_weight) continue;
    back_to_hidden(kernel, head, logits, stride, scales, some, grad_hidden + first * width);
    back_to_weight(kernel, head, logits, stride, scaled, some, grad_weight, first > 0);
  }
  return float(loss);
}
