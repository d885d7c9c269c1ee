// Products with matrices of every kind, and a layer that is made of them.
#include <cstring>
#include <numeric>

#include "../matrix.h"
#include "checks.h"

namespace checks {
namespace {

// A matrix of ones, or of zeros, in panels of a kind.
struct Stack {
  std::vector<char> panels;
  centime_matrix matrix;

  Stack(int64_t count, int64_t outputs, int64_t inputs, int32_t kind, bool gated, bool ones) {
    const int64_t each = centime::Matrix({nullptr, outputs, inputs, kind}).bytes();
    const int64_t panels_each = gated ? (outputs + 15) / 16 : (outputs + 31) / 32;
    panels.resize(count * panels_each * each);
    matrix = {panels.data(), outputs, inputs, kind};
    for (int64_t panel = 0; ones && panel < count * panels_each; ++panel)
      fill(panels.data() + panel * each, each, inputs, kind);
  }

  static void fill(char *panel, int64_t bytes, int64_t inputs, int32_t kind) {
    const auto halves = [](char *to, int64_t count, uint16_t value) {
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + 2 * i, &value, 2);
    };
    if (kind == CENTIME_BF16) return halves(panel, bytes / 2, ONE);
    if (kind == CENTIME_FP8) {
      const int64_t scales = centime::fp8_scales_bytes(inputs), groups = (inputs + centime::GROUP - 1) / centime::GROUP;
      std::memset(panel + scales, 0x38, bytes - scales);
      const float one = 1.0f;
      for (int64_t i = 0; i < 2 * groups; ++i) std::memcpy(panel + 4 * i, &one, 4);
      return;
    }
    const int64_t group = centime::group_bytes(kind == CENTIME_INT8 ? 8 : 4);
    for (char *at = panel; at < panel + bytes; at += group) {
      std::memset(at, kind == CENTIME_INT8 ? 129 : 0x99, group - 64);
      halves(at + group - 64, 32, 0x3c00);
    }
  }
};

// Rows of ones as a folder keeps them, put into panels: those of a stack of ones, where nothing is filled up.
void packing(int64_t outputs, int64_t inputs, int32_t kind, bool gated) {
  constexpr int64_t COUNT = 2, BLOCK = 64;
  const int64_t rows = COUNT * outputs * (gated ? 2 : 1), groups = (inputs + 31) / 32;
  const bool whole = kind == CENTIME_INT8 || kind == CENTIME_INT4;
  const std::vector<uint16_t> wide(kind == CENTIME_BF16 ? rows * inputs : 0, ONE);
  const std::vector<uint16_t> halves(whole ? rows * groups : 0, 0x3c00);
  const int64_t bytes = kind == CENTIME_BF16 ? 0 : kind == CENTIME_INT4 ? rows * ((inputs + 1) / 2) : rows * inputs;
  const std::vector<uint8_t> narrow(bytes, kind == CENTIME_INT8 ? 1 : kind == CENTIME_INT4 ? 0x99 : 0x38);
  const int64_t blocks = (outputs + BLOCK - 1) / BLOCK * ((inputs + BLOCK - 1) / BLOCK) * (rows / outputs);
  const std::vector<float> floats(kind == CENTIME_FP8 ? blocks : 0, 1.0f);
  Stack made(COUNT, outputs, inputs, kind, gated, false);
  const void *numbers = kind == CENTIME_BF16 ? static_cast<const void *>(wide.data()) : narrow.data();
  const void *scales = whole ? static_cast<const void *>(halves.data()) : floats.data();
  centime_pack(numbers, scales, BLOCK, COUNT, gated, &made.matrix);
  const bool full = outputs % (gated ? 16 : 32) == 0 && inputs % 32 == 0;
  check(!full || made.panels == Stack(COUNT, outputs, inputs, kind, gated, true).panels, "ones are packed as others");
  centime_read(made.panels.data(), made.panels.size());
}

}  // namespace

void products(int64_t rows, int64_t outputs, int64_t inputs, int32_t kind) {
  for (bool gated : {false, true}) {
    packing(32, 64, kind, gated);
    packing(outputs, inputs - 22, kind, gated);
  }
  const std::vector<centime_bf16> x(rows * inputs, ONE);
  const Stack weights(1, outputs, inputs, kind, false, true);
  std::vector<centime_bf16> y(rows * outputs);
  centime_linear(x.data(), rows, inputs, &weights.matrix, y.data());
  for (centime_bf16 one : y) check(one == y[0] && one, "ones times ones differ");
  const std::vector<int64_t> ids(rows * 2, 1), lengths(rows, 7), tables(rows, 0);
  const std::vector<float> gates(rows * 2, 0.5f);
  const Stack gate_up(2, inputs, inputs, kind, true, false), down(2, inputs, inputs, kind, false, false);
  std::vector<centime_bf16> out(rows * inputs);
  centime_experts(x.data(), rows, ids.data(), gates.data(), 2, &gate_up.matrix, &down.matrix, 2, out.data());
  const std::vector<centime_bf16> pages(8 * inputs, ONE);
  const centime_past past{pages.data(), tables.data(), lengths.data(), 8, 1};
  std::vector<centime_bf16> context(rows * inputs);
  centime_latent_attention(x.data(), rows, 1, inputs, inputs, 1.0f, &past, context.data());
  for (centime_bf16 one : context) check(one == ONE, "the mean of ones is not one");
}

// A layer of two heads whose weights are ones: every row comes out alike.
void layer(int64_t rows, int32_t kind) {
  constexpr int64_t D = 40, HEADS = 2, NOPE = 6, ROPE = 4, LATENT = 10, VALUE = 6, EXPERTS = 3, WIDE = 20;
  const std::vector<centime_bf16> norm(D, ONE), x(rows * D, ONE);
  const Stack q_up(1, HEADS * (NOPE + ROPE), D, kind, false, true), kv_down(1, LATENT + ROPE, D, kind, false, true);
  const Stack uk(HEADS, LATENT, NOPE, kind, false, true), uv(HEADS, VALUE, LATENT, kind, false, true);
  const Stack out(1, D, HEADS * VALUE, kind, false, true), gate_up(EXPERTS, WIDE, D, kind, true, true);
  const Stack down(EXPERTS, D, WIDE, kind, false, true), shared_up(1, WIDE, D, CENTIME_BF16, true, true);
  const Stack shared_down(1, D, WIDE, CENTIME_BF16, false, true), scores(1, EXPERTS, D, CENTIME_BF16, false, true);
  const centime_router router{scores.matrix, nullptr, 1, 1, 2, 1.0f, 0, 0, 1};
  const centime_layer all{norm.data(), nullptr, norm.data(), norm.data(), {}, q_up.matrix, kv_down.matrix, uk.matrix,
                          uv.matrix, out.matrix, gate_up.matrix, down.matrix, shared_up.matrix, shared_down.matrix,
                          &router, HEADS, NOPE, ROPE, LATENT, EXPERTS, 1e-6f, 1e-6f, 1.0f, 1};
  const std::vector<float> cosines(rows * ROPE / 2, 1.0f), sines(rows * ROPE / 2, 0.0f);
  std::vector<centime_bf16> q(rows * HEADS * (NOPE + ROPE)), entries(rows * (LATENT + ROPE)), y(rows * D);
  std::vector<centime_bf16> heads(rows * HEADS * VALUE);
  centime_layer_project(&all, x.data(), rows, cosines.data(), sines.data(), q.data(), entries.data());
  std::vector<int64_t> tables(rows), lengths(rows, 1);
  std::iota(tables.begin(), tables.end(), 0);
  const centime_past past{entries.data(), tables.data(), lengths.data(), 1, 1};
  centime_layer_attend(&all, q.data(), rows, &past, heads.data());
  centime_layer_finish(&all, x.data(), heads.data(), rows, y.data());
  for (centime_bf16 one : y) check(one == y[0], "a layer of ones gives several numbers");
}

}  // namespace checks
