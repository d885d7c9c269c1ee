#include "pool.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace centime {
namespace {

constexpr int64_t MOST = 65535;  // pieces of a loop that one ticket counts
constexpr auto SPIN = std::chrono::microseconds(50);  // a helper's wait for the next loop before it sleeps

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One loop at a time. `ticket` is (generation << 32 | count << 16 | next): who moves `next` by a compare-and-swap owns
// that piece, and knows that the loop it belongs to cannot end before the piece is done; so `work` and `context`, which
// were written before the ticket was, hold still while they are read.
class Pool {
 public:
  void run(int64_t count, void (*work)(void *, int64_t), void *context) {
    std::unique_lock<std::mutex> alone(busy_, std::try_to_lock);
    if (!alone.owns_lock() || count == 1 || wanted_.load(std::memory_order_relaxed) == 1) {
      for (int64_t i = 0; i < count; ++i) work(context, i);
      return;
    }
    start_helpers();
    work_ = work;
    context_ = context;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t generation = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(generation << 32 | static_cast<uint64_t>(count) << 16, std::memory_order_seq_cst);
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    epoch_.notify_all();
    claim_all();
    while (done_.load(std::memory_order_acquire) != count) relax();
  }

  void want(int count) { wanted_.store(count < 1 ? 1 : count, std::memory_order_relaxed); }
  int wanted() const { return wanted_.load(std::memory_order_relaxed); }

 private:
  static bool open(uint64_t ticket) { return (ticket & 0xffff) < (ticket >> 16 & 0xffff); }

  void claim_all() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (open(ticket)) {
      if (ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) {
        work_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed), ticket & 0xffff);
        done_.fetch_add(1, std::memory_order_release);
        ticket = ticket_.load(std::memory_order_acquire);
      }
    }
  }

  void help(int number) {
    for (;;) {
      const uint32_t epoch = epoch_.load(std::memory_order_seq_cst);
      if (number < wanted_.load(std::memory_order_relaxed)) claim_all();
      const auto until = std::chrono::steady_clock::now() + SPIN;
      while (epoch_.load(std::memory_order_relaxed) == epoch && std::chrono::steady_clock::now() < until)
        for (int i = 0; i < 32; ++i) relax();
      epoch_.wait(epoch, std::memory_order_seq_cst);
    }
  }

  // A child of fork has none of its parent's threads.
  void start_helpers() {
    if (owner_ != getpid()) {
      owner_ = getpid();
      helpers_ = 1;
    }
    for (; helpers_ < wanted_.load(std::memory_order_relaxed); ++helpers_) {
      try {
        std::thread(&Pool::help, this, helpers_).detach();
      } catch (const std::system_error &) {  // no more threads are to be had: those that there are share the work
        wanted_.store(helpers_, std::memory_order_relaxed);
      }
    }
  }

  std::mutex busy_;
  std::atomic<int> wanted_{1};
  int helpers_ = 1;  // threads there are, the caller counted
  pid_t owner_ = 0;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  std::atomic<void (*)(void *, int64_t)> work_{nullptr};
  std::atomic<void *> context_{nullptr};
  alignas(64) std::atomic<int64_t> done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};
};

Pool &pool() {
  static Pool *only = new Pool;  // never destroyed: helpers use it until the process ends
  return *only;
}

}  // namespace

void run_shared(int64_t count, void (*work)(void *, int64_t), void *context) {
  struct Part {
    void (*work)(void *, int64_t);
    void *context;
    int64_t first;
  };
  for (int64_t first = 0; first < count; first += MOST) {
    Part part{work, context, first};
    pool().run(
        count - first < MOST ? count - first : MOST,
        [](void *of, int64_t i) {
          const Part &part = *static_cast<Part *>(of);
          part.work(part.context, part.first + i);
        },
        &part);
  }
}

void set_threads(int count) { pool().want(count); }

int64_t threads() { return pool().wanted(); }

}  // namespace centime
