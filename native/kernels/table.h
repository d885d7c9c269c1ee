// A table of kernels for the processor that the file is compiled for.
#pragma once

#include "fp8.h"
#include "whole.h"

namespace centime {
namespace {

struct Products {
  int bf16_rows;
  Product bf16, int8 = whole_product<8>, int4 = whole_product<4>, fp8 = fp8_product;
};

// Tables differ in their products alone.
[[maybe_unused]] constexpr Kernels table(const char *name, bool (*runs)(), const Products &products) {
  return {name, runs, {products.bf16_rows, ROWS, ROWS, ROWS},
          {products.bf16, products.int8, products.int4, products.fp8},
          whole, narrow, add, gated, interleave, soften, normalise, read};
}

}  // namespace
}  // namespace centime
