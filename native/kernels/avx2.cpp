#include "table.h"

const centime::Kernels centime::AVX2 = centime::table(
    "avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); },
    {centime::ROWS, centime::product});
