// Which kernels run: the best of those that this processor has, or those that were asked for.
#include <atomic>
#include <cstring>

#include "kernels.h"
#include "pool.h"

namespace centime {
namespace {

const Kernels *const ALL[] = {&AMX, &AVX512_BF16, &AVX512_VNNI, &AVX512, &AVX2, &PORTABLE};

const Kernels *best() {
  for (const Kernels *one : ALL)
    if (one && one->runs()) return one;
  return &PORTABLE;
}

std::atomic<const Kernels *> chosen{nullptr};

}  // namespace

const Kernels &kernels() {
  const Kernels *found = chosen.load(std::memory_order_acquire);
  if (!found) chosen.store(found = best(), std::memory_order_release);
  return *found;
}

const FloatKernels &float_kernels() {
  return &kernels() != &PORTABLE && &AVX2_FLOATS ? AVX2_FLOATS : PORTABLE_FLOATS;
}

}  // namespace centime

extern "C" const char *centime_kernels(void) { return centime::kernels().name; }

extern "C" int32_t centime_choose(const char *name) {
  for (const centime::Kernels *one : centime::ALL)
    if (one && !std::strcmp(one->name, name) && one->runs()) {
      centime::chosen.store(one, std::memory_order_release);
      return 1;
    }
  return 0;
}

extern "C" void centime_threads(int32_t count) { centime::set_threads(count); }
