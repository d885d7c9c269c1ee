#include "avx2_floats.h"
#include "avx2_whole.h"
#include "table.h"

const centime::Kernels centime::AVX512 = centime::table(
    "avx512",
    [] {
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("f16c");
    },
    {.int8 = centime::avx2::INT8, .int4 = centime::avx2::INT4, .fp8 = centime::avx2::FP8});
