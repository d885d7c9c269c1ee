// Loops shared from several threads at once, after changes of their number, and in a child; kernels of all kinds in them.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../pool.h"
#include "checks.h"

void checks::check(bool holds, const char *what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

using namespace checks;

namespace {

void every_piece_once(int64_t count) {
  std::vector<int> seen(count);
  centime::shared(count, [&](int64_t i) { ++seen[i]; });
  for (int times : seen) check(times == 1, "a piece ran not once");
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
            attention(i);
            training(i);
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
  attention(0);
  training(0);
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
