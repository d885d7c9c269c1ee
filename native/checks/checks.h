// What the sanitizers look at: every function of centime.h on memory that ends where its numbers do.
#pragma once

#include <cstdint>
#include <vector>

#include "../centime.h"

namespace checks {

constexpr centime_bf16 ONE = 0x3f80;

// Ends the program with a sentence, unless it holds.
void check(bool holds, const char *what);

void products(int64_t rows, int64_t outputs, int64_t inputs, int32_t kind);
void layer(int64_t rows, int32_t kind);  // of two heads and three experts
void attention(int64_t rows);            // of single tokens and of prompts
void training(int64_t rows);             // in float32

}  // namespace checks
