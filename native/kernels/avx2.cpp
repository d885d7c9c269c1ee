#include "avx2_floats.h"
#include "avx2_between.h"
#include "avx2_whole.h"
#include "float_rows.h"
#include "table.h"

// Those that have AVX2 have had the other two since the first of them (Haswell, Zen).
const centime::Kernels centime::AVX2 = centime::table(
    "avx2",
    [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); },
    {.bf16 = centime::avx2::bf16_product,
     .int8 = centime::avx2::whole_product<8>,
     .int4 = centime::avx2::whole_product<4>,
     .fp8 = centime::avx2::fp8_product,
     .bf16_rows = centime::avx2::FLOAT_ROWS,
     .whole_rows = centime::avx2::WHOLE_ROWS,
     .fp8_rows = centime::avx2::FLOAT_ROWS,
     .floats = centime::avx2::floats8,
     .narrow = centime::avx2::narrow8,
     .gated = centime::avx2::gated8,
     .soften = centime::avx2::soften8});

const centime::FloatKernels centime::AVX2_FLOATS = centime::FLOATS;
