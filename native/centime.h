/* The C interface of centime's kernels for processors: plain pointers and sizes, no Python, no torch.

Letters: R rows of an input, I numbers of a row, O outputs, E experts, K of them a row, D a model's width, F an
expert's, H heads, N numbers of a head's key that are not rotated and Q of its rotated ones, V of its value, L of the
latent that a cache keeps.

Every output of a row is one sum in the order of its inputs in float32, whatever the number of rows and of threads: the
same bits in any company. */
#ifndef CENTIME_H
#define CENTIME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CENTIME_API __attribute__((visibility("default")))

typedef uint16_t centime_bf16;

enum { CENTIME_BF16 = 0, CENTIME_INT8 = 1, CENTIME_INT4 = 2, CENTIME_FP8 = 3 };

/* A matrix [O, I], or a stack of them one behind the other, in panels of 32 outputs, filled up with zeros. A product
reads a panel from front to end once.

CENTIME_BF16: a panel holds, for every pair of inputs 2k and 2k + 1, those two numbers of outputs 32p .. 32p + 15 and
then of 32p + 16 .. 32p + 31, 128 bytes a pair. I is even.

CENTIME_INT8, CENTIME_INT4: inputs in groups of 32, filled up with zeros, that have one scale an output. A panel holds,
for every group, the first 16 outputs' numbers, the other 16's, and the 32 scales as IEEE halves. int8: for every four
inputs in turn, the four of each output, 128 added to each. int4: for every eight inputs, four bytes of each output,
the first four numbers in the low halves and the others in the high ones, 8 added to each. Rows of an input become whole
numbers too: groups of 32 over the largest of them, of 127 steps.

CENTIME_FP8: e4m3 numbers, of which every 16 outputs by 32 inputs have one scale. A panel begins with the scales of all
groups of 32 inputs in float32, two for a group's halves of outputs, filled up to whole 64 bytes. Then it holds, for
every group, filled up with zeros, the first 16 outputs' numbers and the other 16's: for every two inputs in turn, the
two of each output. I is even.

A gated matrix [2, F, I] is kept in panels of 16 outputs of the gate and the same 16 of the other half, so that both
meet in one register's place; its `outputs` is F. */
typedef struct {
  const void *panels;
  int64_t outputs, inputs;
  int32_t kind;
} centime_matrix;

/* Puts `count` matrices [O, I], or [2, F, I] where gated, one behind the other, in the panels of `to`. numbers: rows in
turn of bf16, int8, int4 (two a byte, the first in the lower half, 8 added to each) or e4m3. scales: of int8 and int4
halves [O, I / 32], of e4m3 float32 [O / block, I / block] of each half, rounded up; block is a multiple of 32. */
CENTIME_API void centime_pack(const void *numbers, const void *scales, int64_t block, int64_t count, int32_t gated,
                              const centime_matrix *to);

/* The kernels that this processor runs: "amx", "avx512_bf16", "avx512_vnni", "avx512", "avx2" or "portable". */
CENTIME_API const char *centime_kernels(void);

/* Takes kernels by name; 0 where this processor has not got them, and nothing changes. */
CENTIME_API int32_t centime_choose(const char *name);

/* How many threads share a product, the caller among them. */
CENTIME_API void centime_threads(int32_t count);

/* Reads `bytes` of memory once, front to end, and returns what its words come to under exclusive or: what a product has
to be compared with. */
CENTIME_API uint64_t centime_read(const void *memory, int64_t bytes);

/* y [R, O] = x [R, I] W^T. row_stride: numbers from one row of x to the next. */
CENTIME_API void centime_linear(const centime_bf16 *x, int64_t rows, int64_t row_stride, const centime_matrix *weight,
                                centime_bf16 *y);

/* y [R, D] = sum over k of gates[r, k] down_e(silu(gate_e x) * up_e x), e = experts[r, k], of gate_up: E times
[2, F, D], and down: E times [D, F]. An expert outside 0 .. E - 1 adds nothing; where experts is null all rows go to the
first, with a gate of 1. */
CENTIME_API void centime_experts(const centime_bf16 *x, int64_t rows, const int64_t *experts, const float *gates,
                                 int64_t chosen, const centime_matrix *gate_up, const centime_matrix *down,
                                 int64_t count, centime_bf16 *y);

/* y[r, h] = W_h x[r, h] of heads with a matrix [O, I] each, one head's after another's. x [R, H, I] and y [R, H, O]
have numbers of their own from row to row and from head to head. */
CENTIME_API void centime_by_heads(const centime_bf16 *x, int64_t rows, int64_t heads, int64_t row_stride,
                                  int64_t head_stride, const centime_matrix *weight, centime_bf16 *y,
                                  int64_t y_row_stride, int64_t y_head_stride);

/* What single tokens look back on. Entry i of query n is row tables[n * longest + i / page] * page + i % page of
`pages`, [.., L + Q] of latents, for i below lengths[n], at least 1. */
typedef struct {
  const centime_bf16 *pages;
  const int64_t *tables, *lengths;
  int64_t page, longest;
} centime_past;

/* Single tokens' attention, all heads of each over entries that they share (DeepSeek-V2's report, section 2.1.2):
out[n, h] = sum over i of softmax(scale q[n, h] . entry_n(i)) entry_n(i)[: latent] for q [N, H, width], out
[N, H, latent]. width is even. */
CENTIME_API void centime_latent_attention(const centime_bf16 *q, int64_t queries, int64_t heads, int64_t width,
                                          int64_t latent, float scale, const centime_past *past, centime_bf16 *out);

/* Rows of heads: number i of head h of row r stands at numbers[r * row_stride + h * head_stride + i]. */
typedef struct {
  const centime_bf16 *numbers;
  int64_t rows, heads, width, row_stride, head_stride;
} centime_heads;

/* Causal attention of pieces of prompts: out[s, h] = sum over t of softmax(scale q[s, h] . keys[t, h / G])
values[t, h / G] for t up to T - S + s, of q [S, H, C], keys [T, K, C], values [T, K, V], out [S, H, V]; S is at most T,
H = G K, C is even. */
CENTIME_API void centime_causal_attention(const centime_heads *q, const centime_heads *keys,
                                          const centime_heads *values, float scale, centime_bf16 *out);

/* Single tokens' attention, the heads of a group over keys and values that they share: out[n, h] = sum over i of
softmax(scale q[n, h] . key_n(i)) value_n(i) for q and out [N, H, C], an entry being the keys of K heads, H a multiple
of K, and then their values: 2 K C numbers. */
CENTIME_API void centime_grouped_attention(const centime_bf16 *q, int64_t queries, int64_t heads, int64_t key_heads,
                                           int64_t width, float scale, const centime_past *past, centime_bf16 *out);

/* y[r] = x[r] / sqrt(mean(x[r]^2) + epsilon) * weight for rows of `width` numbers. */
CENTIME_API void centime_rms_norm(const centime_bf16 *x, int64_t rows, int64_t row_stride, int64_t width,
                                  const centime_bf16 *weight, float epsilon, centime_bf16 *y, int64_t y_row_stride);

/* Rotates the first 2 half numbers of every head by the angles of its row, cosines and sines [R, half]: pairs of
neighbours where `interleaved`, else i and i + half. */
CENTIME_API void centime_rope(const centime_bf16 *x, int64_t rows, int64_t heads, int64_t row_stride,
                              int64_t head_stride, const float *cosines, const float *sines, int64_t half,
                              int32_t interleaved, centime_bf16 *y, int64_t y_row_stride, int64_t y_head_stride);

/* How experts are chosen of scores = sigmoid, or softmax, of x W^T: the best of scores plus bias (which may be null),
of the `kept` groups whose `group_by` best ones come to most where group_by is not 0; their gates are their scores, of a
sum of 1 where `normalise`, times factor. The matrix is in bf16. */
typedef struct {
  centime_matrix weight;
  const float *bias;
  int64_t groups, kept, chosen;
  float factor;
  int32_t softmax, group_by, normalise;
} centime_router;

/* x [R, D] -> scores [R, E], ids [R, K] and gates [R, K]. */
CENTIME_API void centime_route(const centime_router *router, const centime_bf16 *x, int64_t rows, float *scores,
                               int64_t *ids, float *gates);

/* A decoder layer with latent attention (DeepSeek-V2's report, equations 9 to 15), its feed-forward dense or of
experts. Norms are vectors. q_down.panels and q_norm are null where the query has no latent of its own: q_up is then
[H * (N + Q), D]. uk and uv are heads' matrices [L, N] and [V, L], one after another. router is null where the
feed-forward is dense: gate_up and down are then its own; else those of the experts, and shared_* of the expert that
every token visits, whose panels may be null. */
typedef struct {
  const centime_bf16 *attention_norm, *q_norm, *kv_norm, *ffn_norm;
  centime_matrix q_down, q_up, kv_down, uk, uv, out, gate_up, down, shared_gate_up, shared_down;
  const centime_router *router;
  int64_t heads, nope, rope, latent, experts;
  float norm_epsilon, latent_epsilon, scale;
  int32_t interleaved;
} centime_layer;

/* From x [R, D] to the queries q [R, H, N + Q], their last numbers rotated, and the entries [R, L + Q] that a cache
keeps: the normed latent and the rotated key of norm(x). */
CENTIME_API void centime_layer_project(const centime_layer *layer, const centime_bf16 *x, int64_t rows,
                                       const float *cosines, const float *sines, centime_bf16 *q,
                                       centime_bf16 *entries);

/* Single tokens' attention in the layer's own terms: q [N, H, N + Q] -> heads [N, H * V]. */
CENTIME_API void centime_layer_attend(const centime_layer *layer, const centime_bf16 *q, int64_t queries,
                                      const centime_past *past, centime_bf16 *heads);

/* What follows attention: h = x + out(heads), y = h + feed_forward(norm(h)). */
CENTIME_API void centime_layer_finish(const centime_layer *layer, const centime_bf16 *x, const centime_bf16 *heads,
                                      int64_t rows, centime_bf16 *y);

/* What training computes in float32. */

/* Each of `count` matrices [rows, columns] becomes what `steps` of Newton-Schulz's iteration make of X = X / |X|: with
(a, b, c) of a step from `coefficients` [steps, 3], X <- a X + b (X X^T) X + c (X X^T)^2 X. */
CENTIME_API void centime_orthogonalise(float *matrices, int64_t count, int64_t rows, int64_t columns,
                                       const float *coefficients, int64_t steps);

/* The sum over rows of weights[r] times the cross entropy of softmax(hidden[r] W^T) and targets[r], for hidden [R, D]
and W [O, D], D a multiple of 16; a target outside 0 .. O - 1 makes it no number. Its gradients are written to
grad_hidden [R, D] and grad_weight [O, D], unless these are null. */
CENTIME_API float centime_cross_entropy(const float *hidden, int64_t rows, int64_t width, const float *weight,
                                        int64_t outputs, const int64_t *targets, const float *weights,
                                        float *grad_hidden, float *grad_weight);

/* E experts: gate_up E times [2, F, D], down E times [D, F]; D and F are multiples of 16. */
typedef struct {
  const float *gate_up, *down;
  int64_t count, width, inner;
} centime_experts_of;

/* Which experts each of R rows visits, [R, K], all of them below E, and what each counts. */
typedef struct {
  const int64_t *experts;
  const float *gates;
  int64_t rows, chosen;
} centime_routing;

/* Where gradients go: of x [R, D], the gates [R, K] and the matrices. */
typedef struct {
  float *x, *gates, *gate_up, *down;
} centime_experts_slopes;

/* y [R, D] = sum over k of gates[r, k] down_e(silu(gate_e x) * up_e x), e = experts[r, k]. What the gate's and the other
half's products came to is kept in `both` [R K, 2 F], sorted by expert, for the way back. */
CENTIME_API void centime_routed_forward(const centime_experts_of *experts, const centime_routing *routing,
                                        const float *x, float *both, float *y);

/* From grad_y [R, D] to the gradients of all that y came of. */
CENTIME_API void centime_routed_backward(const centime_experts_of *experts, const centime_routing *routing,
                                         const float *x, const float *both, const float *grad_y,
                                         const centime_experts_slopes *slopes);

#ifdef __cplusplus
}
#endif

#endif
