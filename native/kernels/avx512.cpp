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
    {.int8 = centime::avx2::whole_product<8>,
     .int4 = centime::avx2::whole_product<4>,
     .fp8 = centime::avx2::fp8_product,
     .whole_rows = centime::avx2::WHOLE_ROWS,
     .fp8_rows = centime::avx2::FLOAT_ROWS});
