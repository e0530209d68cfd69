// What every reader's fuzzer shares: the rules that a reader keeps whatever a file holds, and the file
// itself, which lives in memory. A reader throws rotor::Error or nothing, allocates in bounded measure, and
// comes to an end (libFuzzer's -timeout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace rotor::fuzz {

/// What a reader may have allocated at any moment: kFixedBytes + kBytesPerByte times the size of its input.
inline constexpr size_t kFixedBytes = size_t{64} << 20;
inline constexpr size_t kBytesPerByte = 30;

/// Bytes as a file, for readers that map one. It is gone with this object.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const;

 private:
  int fd_;
};

/// The input as text.
inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Calls `read` for an input of `input_bytes`. rotor::Error ends it in peace; another exception, or more live
/// memory than the rule allows, aborts with a message. Allocations are counted by the sanitizer's hooks,
/// those of other libraries included, mappings of files not. Returns 0, as LLVMFuzzerTestOneInput does.
int run(size_t input_bytes, const std::function<void()>& read);

/// Aborts with `what` if `condition` is false: for what a reader promises of a file that it has accepted.
void require(bool condition, const char* what);

/// Calls `read`, which may throw Error: for parts of a file of which others are still worth a look.
void attempt(const std::function<void()>& read);

}  // namespace rotor::fuzz
