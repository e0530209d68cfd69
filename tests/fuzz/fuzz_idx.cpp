// A data set of IDX files: the first half of the input is the images, the rest the labels.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "rotor/formats/idx.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  static const std::string directory = [] {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/rotor-fuzz-XXXXXX";
    return std::string(mkdtemp(pattern.data()));
  }();
  static const int removed_at_exit = std::atexit([] { std::filesystem::remove_all(directory); });
  static_cast<void>(removed_at_exit);
  const std::string_view bytes = fuzz::text_of(data, size);
  std::ofstream(directory + "/train-images-idx3-ubyte", std::ios::binary) << bytes.substr(0, size / 2);
  std::ofstream(directory + "/train-labels-idx1-ubyte", std::ios::binary) << bytes.substr(size / 2);
  return fuzz::run(size, [] {
    const IdxDataset set = load_idx(directory, IdxSplit::train);
    fuzz::require(set.pixels.size() == set.count * set.image_size() && set.labels.size() == set.count,
                  "pixels or labels are not as many as the data set says");
  });
}
