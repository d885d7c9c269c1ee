/* The C interface of centime's kernels for processors: plain pointers and sizes, no Python, no torch.

Letters: R rows of an input, I numbers of a row, O outputs, E experts, K of them a row, D a model's width, F an
expert's.

A matrix [O, I] in bf16 is kept in panels of 32 outputs, padded with zeros: panel p holds, for every pair of inputs
2k and 2k + 1, those two numbers of outputs 32p .. 32p + 15 and then of 32p + 16 .. 32p + 31, 128 bytes a pair. A
product reads it from front to end once. A gated matrix [2, F, I] is kept in panels of 16 outputs of the gate and the
same 16 of the other half, so that both meet in one register's place.

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

/* The kernels that this processor runs: "amx", "avx512_bf16", "avx512", "avx2" or "portable". */
CENTIME_API const char *centime_kernels(void);

/* Takes kernels by name; 0 where this processor has not got them, and nothing changes. */
CENTIME_API int32_t centime_choose(const char *name);

/* How many threads share a product, the caller among them. */
CENTIME_API void centime_threads(int32_t count);

/* Reads `bytes` of memory once, front to end, and returns what its words come to under exclusive or: what a product has
to be compared with. */
CENTIME_API uint64_t centime_read(const void *memory, int64_t bytes);

/* y [R, O] = x [R, I] W^T. row_stride: numbers from one row of x to the next. I is even. */
CENTIME_API void centime_linear(const centime_bf16 *x, int64_t rows, int64_t row_stride, const centime_bf16 *panels,
                    int64_t outputs, int64_t inputs, centime_bf16 *y);

/* y [R, D] = sum over k of gates[r, k] down_e(silu(gate_e x) * up_e x), e = experts[r, k]. gate_up: E times the
panels of [2, F, D]; down: E times those of [D, F]. An expert outside 0 .. E - 1 adds nothing; where experts is null
all rows go to the first, with a gate of 1. D and F are even. */
CENTIME_API void centime_experts(const centime_bf16 *x, int64_t rows, int64_t width, const int64_t *experts,
                                 const float *gates, int64_t chosen, const centime_bf16 *gate_up,
                                 const centime_bf16 *down, int64_t count, int64_t inner, centime_bf16 *y);

/* y[r, h] = W_h x[r, h] of heads with a matrix [O, I] each, their panels one head's after another's. x [R, H, I] and
y [R, H, O] have numbers of their own from row to row and from head to head. */
CENTIME_API void centime_by_heads(const centime_bf16 *x, int64_t rows, int64_t heads, int64_t row_stride,
                                  int64_t head_stride, const centime_bf16 *panels, int64_t outputs, int64_t inputs,
                                  centime_bf16 *y, int64_t y_row_stride, int64_t y_head_stride);

/* Single tokens' attention, all heads of each over entries that they share (DeepSeek-V2's report, section 2.1.2):
out[n, h] = sum over i of softmax(scale q[n, h] . entry_n(i)) entry_n(i)[: latent] for q [N, H, width], out
[N, H, latent]. Entry i of query n is row tables[n * longest + i / page] * page + i % page of `pages` [.., width], for i
below lengths[n], at least 1. width is even. */
CENTIME_API void centime_latent_attention(const centime_bf16 *q, int64_t queries, int64_t heads, int64_t width,
                                          int64_t latent, float scale, const centime_bf16 *pages, int64_t page,
                                          const int64_t *tables, int64_t longest, const int64_t *lengths,
                                          centime_bf16 *out);

/* y[r] = x[r] / sqrt(mean(x[r]^2) + epsilon) * weight for rows of `width` numbers. */
CENTIME_API void centime_rms_norm(const centime_bf16 *x, int64_t rows, int64_t row_stride, int64_t width,
                                  const centime_bf16 *weight, float epsilon, centime_bf16 *y, int64_t y_row_stride);

/* Rotates the first 2 half numbers of every head by the angles of its row, cosines and sines [R, half]: pairs of
neighbours where `interleaved`, else i and i + half. */
CENTIME_API void centime_rope(const centime_bf16 *x, int64_t rows, int64_t heads, int64_t row_stride,
                              int64_t head_stride, const float *cosines, const float *sines, int64_t half,
                              int32_t interleaved, centime_bf16 *y, int64_t y_row_stride, int64_t y_head_stride);

/* The experts of every row: scores [R, E] = sigmoid, or softmax, of x W^T; ids [R, K] the best of scores plus bias
(which may be null), of the `kept` groups whose `group_by` best ones come to most where group_by is not 0; gates [R, K]
their scores, of a sum of 1 where `normalise`, times factor. */
CENTIME_API void centime_route(const centime_bf16 *x, int64_t rows, int64_t width, const centime_bf16 *panels,
                               int64_t experts, const float *bias, int32_t softmax, int32_t group_by, int64_t groups,
                               int64_t kept, int64_t chosen, int32_t normalise, float factor, float *scores,
                               int64_t *ids, float *gates);

/* The projections of one layer's latent attention (DeepSeek-V2's report, equations 9 to 15). q_down and q_norm are null
where the query has no latent of its own: q_up is then [H * (nope + rope), D]. */
typedef struct {
  const centime_bf16 *q_down, *q_norm, *q_up, *kv_down, *kv_norm; /* matrices in panels, norms plain */
  int64_t width, q_latent, heads, nope, rope, latent;
  float epsilon;
  int32_t interleaved;
} centime_projections;

/* From x [R, D] the queries q [R, H, nope + rope], their last numbers rotated, and the entries [R, latent + rope] that
a cache keeps: the normed latent and the rotated key. */
CENTIME_API void centime_project(const centime_projections *layer, const centime_bf16 *x, int64_t rows,
                                 const float *cosines, const float *sines, centime_bf16 *q, centime_bf16 *entries);

#ifdef __cplusplus
}
#endif

#endif
