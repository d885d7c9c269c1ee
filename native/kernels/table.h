// A table of kernels for the processor that the file is compiled for.
#pragma once

#include "fp8.h"
#include "whole.h"

namespace centime {
namespace {

struct Products {
  Product bf16 = product, int8 = whole_product<8>, int4 = whole_product<4>, fp8 = fp8_product;
  int bf16_rows = ROWS, whole_rows = ROWS, fp8_rows = ROWS;
  Soften soften = centime::soften;
};

// Tables differ in their products, and in how a softmax is turned over.
[[maybe_unused]] constexpr Kernels table(const char *name, bool (*runs)(), const Products &products) {
  return {name, runs, {products.bf16_rows, products.whole_rows, products.whole_rows, products.fp8_rows},
          {products.bf16, products.int8, products.int4, products.fp8},
          whole, narrow, add, gated, interleave, products.soften, normalise, read};
}

}  // namespace
}  // namespace centime
