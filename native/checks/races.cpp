// What the sanitizers look at: loops shared from several threads at once, after changes of their number, in a child.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "../centime.h"
#include "../matrix.h"
#include "../pool.h"

namespace {

void check(bool holds, const char *what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

void every_piece_once(int64_t count) {
  std::vector<int> seen(count);
  centime::shared(count, [&](int64_t i) { ++seen[i]; });
  for (int times : seen) check(times == 1, "a piece ran not once");
}

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
    if (kind == CENTIME_BF16) return halves(panel, bytes / 2, 0x3f80);
    if (kind == CENTIME_FP8) {
      std::memset(panel, 0x38, bytes);
      const float one = 1.0f;
      for (int64_t i = 0; i < centime::fp8_scales_bytes(inputs); i += 4) std::memcpy(panel + i, &one, 4);
      return;
    }
    const int64_t group = centime::group_bytes(kind == CENTIME_INT8 ? 8 : 4);
    for (char *at = panel; at < panel + bytes; at += group) {
      std::memset(at, kind == CENTIME_INT8 ? 129 : 0x99, group - 64);
      halves(at + group - 64, 32, 0x3c00);
    }
  }
};

void products(int64_t rows, int64_t outputs, int64_t inputs, int32_t kind) {
  const std::vector<centime_bf16> x(rows * inputs, 0x3f80);  // ones
  const Stack weights(1, outputs, inputs, kind, false, true);
  std::vector<centime_bf16> y(rows * outputs);
  centime_linear(x.data(), rows, inputs, &weights.matrix, y.data());
  for (centime_bf16 one : y) check(one == y[0] && one, "ones times ones differ");
  const std::vector<int64_t> ids(rows * 2, 1), lengths(rows, 7), tables(rows, 0);
  const std::vector<float> gates(rows * 2, 0.5f);
  const Stack gate_up(2, inputs, inputs, kind, true, false), down(2, inputs, inputs, kind, false, false);
  std::vector<centime_bf16> out(rows * inputs);
  centime_experts(x.data(), rows, ids.data(), gates.data(), 2, &gate_up.matrix, &down.matrix, 2, out.data());
  const std::vector<centime_bf16> pages(8 * inputs, 0x3f80);
  const centime_past past{pages.data(), tables.data(), lengths.data(), 8, 1};
  std::vector<centime_bf16> context(rows * inputs);
  centime_latent_attention(x.data(), rows, 1, inputs, inputs, 1.0f, &past, context.data());
  for (centime_bf16 one : context) check(one == 0x3f80, "the mean of ones is not one");
}

// A layer of two heads whose weights are ones: every row comes out alike.
void layer(int64_t rows, int32_t kind) {
  constexpr int64_t D = 40, HEADS = 2, NOPE = 6, ROPE = 4, LATENT = 10, VALUE = 6, EXPERTS = 3, WIDE = 20;
  const std::vector<centime_bf16> norm(D, 0x3f80), x(rows * D, 0x3f80);
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

}  // namespace

int main() {
  for (const char *name : {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx"}) {
    if (!centime_choose(name)) continue;
    for (int threads : {1, 3, 2, 4}) {
      centime_threads(threads);
      std::vector<std::thread> callers;
      for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([caller] {
          for (int64_t i = 1; i < 60; ++i) {
            every_piece_once(i * (caller + 1));
            if (i % 20) continue;
            for (int32_t kind : {CENTIME_BF16, CENTIME_INT8, CENTIME_INT4, CENTIME_FP8}) {
              products(i, 5 * i, 64, kind);
              layer(i, kind);
            }
          }
        });
      for (std::thread &caller : callers) caller.join();
    }
    std::printf("%s\n", name);
  }
  every_piece_once(200000);  // more than a ticket counts
  const pid_t child = fork();
  if (child == 0) {
    every_piece_once(1000);
    std::_Exit(0);
  }
  int status = 1;
  waitpid(child, &status, 0);
  check(status == 0, "a child of fork cannot share a loop");
}
