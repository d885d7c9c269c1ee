// A table of kernels for the processor that the file is compiled for.
#pragma once

#include "fp8.h"
#include "rows.h"
#include "whole.h"

namespace centime {
namespace {

struct Own {
  PanelProduct bf16 = {product, ROWS}, int8 = {whole_product<8>, ROWS}, int4 = {whole_product<4>, ROWS},
               fp8 = {fp8_product, ROWS};
  void (*floats)(const centime_bf16 *, float *, int64_t) = centime::floats;
  void (*narrow)(const float *, centime_bf16 *, int64_t) = centime::narrow;
  void (*gated)(const float *, centime_bf16 *) = centime::gated;
  Soften soften = centime::soften;
};

// Tables differ in their products, and in what goes between them where the compiler's vectors do that badly.
[[maybe_unused]] constexpr Kernels table(const char *name, bool (*runs)(), const Own &own) {
  return {name, runs, {own.bf16, own.int8, own.int4, own.fp8},
          whole, own.floats, own.narrow, add, own.gated, interleave, own.soften, row_scores, row_mix, normalise, read};
}

}  // namespace
}  // namespace centime
