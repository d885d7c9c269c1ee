// A decoder layer in three calls: what stands before attention, attention of single tokens, and what follows.
#include <cstring>
#include <memory>

#include "centime.h"
#include "matrix.h"

using namespace centime;

namespace {

std::unique_ptr<bf16[]> numbers(int64_t count) { return std::unique_ptr<bf16[]>(new bf16[count]); }

}  // namespace

extern "C" void centime_layer_project(const centime_layer *layer, const bf16 *x, int64_t rows, const float *cosines,
                                      const float *sines, bf16 *q, bf16 *entries) {
  const Kernels &kernel = kernels();
  const Matrix q_down(layer->q_down), q_up(layer->q_up), kv_down(layer->kv_down);
  const int64_t width = kv_down.inputs, rope = layer->rope, latent = layer->latent, entry = latent + rope;
  const int64_t head = layer->nope + rope, heads = layer->heads;
  const auto normed = numbers(rows * width), both = numbers(rows * entry);
  centime_rms_norm(x, rows, width, width, layer->attention_norm, layer->norm_epsilon, normed.get(), width);

  const Matrix &first = q_down.panels ? q_down : q_up;
  const Rows from(kernel, first, normed.get(), rows, width), from_too(kernel, kv_down, normed.get(), rows, width);
  const Multiplication keys{kv_down, from_too, both.get(), entry};
  if (q_down.panels) {
    const auto low = numbers(rows * q_down.outputs), low_normed = numbers(rows * q_down.outputs);
    multiply(kernel, {{q_down, from, low.get(), q_down.outputs}, keys}, rows);
    centime_rms_norm(low.get(), rows, q_down.outputs, q_down.outputs, layer->q_norm, layer->latent_epsilon,
                     low_normed.get(), q_down.outputs);
    multiply(kernel, {{q_up, Rows(kernel, q_up, low_normed.get(), rows, q_down.outputs), q, heads * head}}, rows);
  } else {
    multiply(kernel, {{q_up, from, q, heads * head}, keys}, rows);
  }
  centime_rope(q + layer->nope, rows, heads, heads * head, head, cosines, sines, rope / 2, layer->interleaved,
               q + layer->nope, heads * head, head);
  centime_rms_norm(both.get(), rows, entry, latent, layer->kv_norm, layer->latent_epsilon, entries, entry);
  centime_rope(both.get() + latent, rows, 1, entry, 0, cosines, sines, rope / 2, layer->interleaved, entries + latent,
               entry, 0);
}

extern "C" void centime_layer_attend(const centime_layer *layer, const bf16 *q, int64_t queries,
                                     const centime_past *past, bf16 *out) {
  const int64_t heads = layer->heads, latent = layer->latent, rope = layer->rope, nope = layer->nope;
  const int64_t entry = latent + rope, head = nope + rope, value = layer->uv.outputs;
  const auto absorbed = numbers(queries * heads * entry), context = numbers(queries * heads * latent);
  centime_by_heads(q, queries, heads, heads * head, head, &layer->uk, absorbed.get(), heads * entry, entry);
  for (int64_t i = 0; i < queries * heads; ++i)
    std::memcpy(absorbed.get() + i * entry + latent, q + i * head + nope, rope * sizeof(bf16));
  centime_latent_attention(absorbed.get(), queries, heads, entry, latent, layer->scale, past, context.get());
  centime_by_heads(context.get(), queries, heads, heads * latent, latent, &layer->uv, out, heads * value, value);
}

extern "C" void centime_layer_finish(const centime_layer *layer, const bf16 *x, const bf16 *heads, int64_t rows,
                                     bf16 *y) {
  const Kernels &kernel = kernels();
  const Matrix out(layer->out), gate_up(layer->gate_up), down(layer->down);
  const int64_t width = out.outputs;
  const auto h = numbers(rows * width), normed = numbers(rows * width);
  multiply(kernel, {{out, Rows(kernel, out, heads, rows, out.inputs), h.get(), width}}, rows);
  kernel.add(x, h.get(), rows * width);
  centime_rms_norm(h.get(), rows, width, width, layer->ffn_norm, layer->norm_epsilon, normed.get(), width);
  if (const centime_router *router = layer->router) {
    const int64_t experts = router->weight.outputs, chosen = router->chosen;
    const std::unique_ptr<float[]> scores(new float[rows * experts]), gates(new float[rows * chosen]);
    const std::unique_ptr<int64_t[]> ids(new int64_t[rows * chosen]);
    centime_route(router, normed.get(), rows, scores.get(), ids.get(), gates.get());
    const Matrix shared_gate_up(layer->shared_gate_up), shared_down(layer->shared_down);
    const bool shared = shared_gate_up.panels;
    feed(kernel,
         {gate_up, down, layer->experts, shared ? &shared_gate_up : nullptr, shared ? &shared_down : nullptr},
         normed.get(), rows, ids.get(), gates.get(), chosen, y);
  } else {
    feed(kernel, {gate_up, down, 1, nullptr, nullptr}, normed.get(), rows, nullptr, nullptr, 1, y);
  }
  kernel.add(h.get(), y, rows * width);
}
