// What the sanitizers look at: loops shared from several threads at once, after changes of their number, in a child.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include "../centime.h"
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

void products(int64_t rows, int64_t outputs, int64_t inputs) {
  const int64_t panels = (outputs + 31) / 32;
  const std::vector<centime_bf16> x(rows * inputs, 0x3f80), weights(panels * 32 * inputs, 0x3f80);  // ones
  std::vector<centime_bf16> y(rows * outputs);
  centime_linear(x.data(), rows, inputs, weights.data(), outputs, inputs, y.data());
  for (centime_bf16 one : y) check(one == y[0], "ones times ones differ");
  const std::vector<int64_t> ids(rows * 2, 1), table{0, 1}, lengths(rows, 7), tables(rows, 0);
  const std::vector<float> gates(rows * 2, 0.5f);
  const std::vector<centime_bf16> gate_up(2 * ((inputs + 15) / 16) * inputs * 32, 0);
  const std::vector<centime_bf16> down(2 * ((inputs + 31) / 32) * inputs * 32, 0);
  std::vector<centime_bf16> out(rows * inputs);
  centime_experts(x.data(), rows, inputs, ids.data(), gates.data(), 2, gate_up.data(), down.data(), 2, inputs,
                  out.data());
  const std::vector<centime_bf16> pages(8 * inputs, 0x3f80);
  std::vector<centime_bf16> context(rows * inputs);
  centime_latent_attention(x.data(), rows, 1, inputs, inputs, 1.0f, pages.data(), 8, tables.data(), 1, lengths.data(),
                           context.data());
  for (centime_bf16 one : context) check(one == 0x3f80, "the mean of ones is not one");
}

}  // namespace

int main() {
  for (const char *name : {"portable", "avx2", "avx512", "avx512_bf16", "amx"}) {
    if (!centime_choose(name)) continue;
    for (int threads : {1, 3, 2, 4}) {
      centime_threads(threads);
      std::vector<std::thread> callers;
      for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([caller] {
          for (int64_t i = 1; i < 60; ++i) {
            every_piece_once(i * (caller + 1));
            if (i % 20 == 0) products(i, 5 * i, 64);
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
