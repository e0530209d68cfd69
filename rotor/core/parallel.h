// Work on large pieces by all cores: threads are started and joined in each call, so a piece should take
// milliseconds. (Inference has a pool of its own, runtime/backends/cpu/thread_pool.h.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rotor {

/// Calls work(0), ..., work(count - 1), each once, on up to one thread a core. The first exception ends the
/// rest and is thrown again.
void parallel_for(size_t count, const std::function<void(size_t)>& work);

/// Rows of a matrix of `cols` columns that make a piece, about two million values: large enough to keep a
/// core busy, small enough that some pieces fit beside any model. A multiple of `multiple`.
int64_t rows_a_piece(int64_t cols, int64_t multiple = 1);

/// Calls work(first, count) for pieces of `step` of `rows` rows, as parallel_for().
void parallel_rows(int64_t rows, int64_t step, const std::function<void(int64_t first, int64_t count)>& work);

/// Makes pieces of a file on all cores and takes each in its turn: make(first, count, bytes) fills `bytes`,
/// which may hold an earlier piece, with what becomes of `count` rows; take(bytes) gets them in the order of
/// the rows, one at a time, while others are made. The first exception ends the rest and is thrown again.
void parallel_rows_in_order(
    int64_t rows, int64_t step,
    const std::function<void(int64_t first, int64_t count, std::vector<uint8_t>& bytes)>& make,
    const std::function<void(std::span<const uint8_t> bytes)>& take);

}  // namespace rotor
