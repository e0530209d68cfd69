// A pointer is a short text: version, object id and size, a line each.
#include "rotor/formats/lfs_pointer.h"

#include <filesystem>

#include "rotor/core/error.h"

namespace rotor {

void refuse_lfs_pointer(std::string_view contents, const std::string& path) {
  constexpr size_t kLongestPointer = 1024;
  if (contents.size() > kLongestPointer || !contents.starts_with("version https://git-lfs.github.com/spec/"))
    return;
  std::string_view size = "unknown";
  if (const size_t at = contents.find("\nsize "); at != std::string_view::npos) {
    size = contents.substr(at + 6);
    size = size.substr(0, size.find('\n'));
  }
  const std::filesystem::path file(path);
  const std::string directory = file.has_parent_path() ? file.parent_path().string() : ".";
  fail(path, ": a Git LFS pointer in place of the file, which has ", size, " bytes: fetch it with `git -C ",
       directory, " lfs pull`, or download the repository with scripts/download_bitnet.sh");
}

}  // namespace rotor
