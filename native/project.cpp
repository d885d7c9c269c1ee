// What stands before latent attention, in one call.
#include <memory>

#include "centime.h"
#include "kernels.h"

using centime::bf16;

extern "C" void centime_project(const centime_projections *layer, const bf16 *x, int64_t rows, const float *cosines,
                                const float *sines, bf16 *q, bf16 *entries) {
  const auto &[q_down, q_norm, q_up, kv_down, kv_norm, width, q_latent, heads, nope, rope, latent, epsilon,
               interleaved] = *layer;
  const int64_t head = nope + rope, entry = latent + rope;
  if (q_down) {
    std::unique_ptr<bf16[]> low(new bf16[2 * rows * q_latent]);
    bf16 *const normed = low.get() + rows * q_latent;
    centime_linear(x, rows, width, q_down, q_latent, width, low.get());
    centime_rms_norm(low.get(), rows, q_latent, q_latent, q_norm, epsilon, normed, q_latent);
    centime_linear(normed, rows, q_latent, q_up, heads * head, q_latent, q);
  } else {
    centime_linear(x, rows, width, q_up, heads * head, width, q);
  }
  centime_rope(q + nope, rows, heads, heads * head, head, cosines, sines, rope / 2, interleaved, q + nope, heads * head,
               head);
  std::unique_ptr<bf16[]> both(new bf16[rows * entry]);
  centime_linear(x, rows, width, kv_down, entry, width, both.get());
  centime_rms_norm(both.get(), rows, entry, latent, kv_norm, epsilon, entries, entry);
  centime_rope(both.get() + latent, rows, 1, entry, 0, cosines, sines, rope / 2, interleaved, entries + latent, entry,
               0);
}
