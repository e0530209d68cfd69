// A file as a reader of documents takes it, and what is promised of every document.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/rag/readers/reader.h"

namespace rotor::fuzz {

/// Returns 0, as LLVMFuzzerTestOneInput does.
int exercise_reader(runtime::rag::FileKind kind, const uint8_t* data, size_t size);

}  // namespace rotor::fuzz
