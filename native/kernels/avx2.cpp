#include "avx2_floats.h"
#include "avx2_between.h"
#include "avx2_whole.h"
#include "float_rows.h"
#include "table.h"

// Those that have AVX2 have had the other two since the first of them (Haswell, Zen).
const centime::Kernels centime::AVX2 = centime::table(
    "avx2",
    [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); },
    {.bf16 = centime::avx2::BF16,
     .int8 = centime::avx2::INT8,
     .int4 = centime::avx2::INT4,
     .fp8 = centime::avx2::FP8,
     .floats = centime::avx2::floats8,
     .narrow = centime::avx2::narrow8,
     .gated = centime::avx2::gated8,
     .soften = centime::avx2::soften8});

const centime::FloatKernels centime::AVX2_FLOATS = centime::FLOATS;
