// Threads that share a loop: work is claimed in tickets, and nobody waits for a thread that has not come.
#pragma once

#include <cstdint>

#include "centime.h"

namespace centime {

// Runs work(context, i) for every i below `count`, on the caller and on whoever of the helpers is awake.
// Returns when all have run. Another thread that calls meanwhile does its own work alone.
CENTIME_API void run_shared(int64_t count, void (*work)(void *, int64_t), void *context);

// How many threads share a loop from now on, the caller among them.
void set_threads(int count);

int64_t threads();

template <typename Work>
void shared(int64_t count, Work &&work) {
  run_shared(
      count, [](void *context, int64_t i) { (*static_cast<Work *>(context))(i); }, &work);
}

}  // namespace centime
