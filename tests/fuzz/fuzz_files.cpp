// Hostile files: the first byte chooses the reader, the rest is the file. Readers may throw rotor::Error and
// nothing else.
//   build/fuzz/bin/fuzz_files -max_total_time=60 CORPUS      seed it with small .rotor, safetensors and IDX
//   files
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/idx.h"
#include "rotor/formats/rotor_file.h"

namespace {

/// The bytes as a file that lives in memory.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(memfd_create("fuzz", 0)) {
    if (write(fd_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { close(fd_); }
  std::string path() const { return rotor::cat("/proc/self/fd/", fd_); }

 private:
  int fd_;
};

/// Makes the header checksum right, so that the fuzzer gets past it.
void seal(std::string& bytes) {
  const std::string field = rotor::cat("\"", rotor::rotor_key::kHeaderChecksum, "\":\"");
  const size_t at = bytes.find(field);
  uint64_t length = 0;
  if (at == std::string::npos || at + field.size() + 16 > bytes.size()) return;
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) return;
  bytes.replace(at + field.size(), 16, rotor::kBlankChecksum);
  const std::string sum =
      rotor::checksum({reinterpret_cast<const uint8_t*>(bytes.data()), 8 + static_cast<size_t>(length)});
  bytes.replace(at + field.size(), 16, sum);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 9) return 0;
  const int reader = data[0] % 4;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (reader == 0) {
      const MemoryFile memory(data + 1, size - 1);
      const rotor::SafetensorsFile file(memory.path());
      for (const auto& tensor : file.tensors()) static_cast<void>(rotor::checksum(file.bytes(tensor)));
    } else if (reader == 1) {
      seal(bytes);
      const MemoryFile memory(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
      static_cast<void>(rotor::RotorFile(memory.path()).verify());
    } else if (reader == 2) {
      static_cast<void>(rotor::model_config_from_json(bytes, "fuzz"));
    } else {
      static const std::string directory = [] {
        std::string pattern = std::filesystem::temp_directory_path().string() + "/rotor-fuzz-XXXXXX";
        return std::string(mkdtemp(pattern.data()));
      }();
      const size_t half = bytes.size() / 2;
      std::ofstream(directory + "/train-images-idx3-ubyte", std::ios::binary) << bytes.substr(0, half);
      std::ofstream(directory + "/train-labels-idx1-ubyte", std::ios::binary) << bytes.substr(half);
      static_cast<void>(rotor::load_idx(directory, rotor::IdxSplit::train));
    }
  } catch (const rotor::Error&) {
  }
  return 0;
}
