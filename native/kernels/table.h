// A table of kernels for the processor that the file is compiled for.
#pragma once

#include "fp8.h"
#include "rows.h"
#include "whole.h"

namespace centime {
namespace {

struct Own {
  Product bf16 = product, int8 = whole_product<8>, int4 = whole_product<4>, fp8 = fp8_product;
  int bf16_rows = ROWS, whole_rows = ROWS, fp8_rows = ROWS;
  void (*floats)(const centime_bf16 *, float *, int64_t) = nullptr;
  void (*narrow)(const float *, centime_bf16 *, int64_t) = centime::narrow;
  void (*gated)(const float *, centime_bf16 *) = centime::gated;
  Soften soften = centime::soften;
};

// Tables differ in their products, and in what goes between them where the compiler's vectors do that badly.
[[maybe_unused]] constexpr Kernels table(const char *name, bool (*runs)(), const Own &own) {
  return {name, runs, {own.bf16_rows, own.whole_rows, own.whole_rows, own.fp8_rows},
          {own.bf16, own.int8, own.int4, own.fp8},
          whole, own.floats, own.narrow, add, own.gated, interleave, own.soften, row_scores, row_mix, normalise, read};
}

}  // namespace
}  // namespace centime
