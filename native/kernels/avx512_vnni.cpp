#include "avx2_floats.h"
#include "table.h"
#include "vnni.h"

// Cascade Lake and Ice Lake, which do not multiply bf16.
const centime::Kernels centime::AVX512_VNNI = centime::table(
    "avx512_vnni", [] { return centime::AVX512.runs() && __builtin_cpu_supports("avx512vnni"); },
    {.int8 = {centime::whole_dots<8>, centime::ROWS},
     .int4 = {centime::whole_dots<4>, centime::ROWS},
     .fp8 = centime::avx2::FP8});
