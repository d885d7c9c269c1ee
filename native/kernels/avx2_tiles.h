// Rows of a product in as few tiles as hold them, each of a size that the compiler knows.
#pragma once

#include <immintrin.h>

#include <type_traits>

namespace centime {
namespace avx2 {
namespace {

template <int NUMBER>
using Number = std::integral_constant<int, NUMBER>;

// Calls tile(Number<rows>(), first row) for `count` rows in tiles of at most MOST, none more than one larger than
// another.
template <int MOST, typename Tile>
inline void by_tiles(int count, Tile &&tile) {
  static_assert(MOST <= 6);
  for (int tiles = (count + MOST - 1) / MOST, at = 0; tiles; --tiles) {
    const int some = (count - at + tiles - 1) / tiles;
    switch (some) {
      case 1: tile(Number<1>(), at); break;
      case 2: tile(Number<2>(), at); break;
      case 3: tile(Number<3>(), at); break;
      case 4: tile(Number<4>(), at); break;
      case 5: tile(Number<MOST < 5 ? MOST : 5>(), at); break;
      default: tile(Number<MOST>(), at); break;
    }
    at += some;
  }
}

}  // namespace
}  // namespace avx2
}  // namespace centime
