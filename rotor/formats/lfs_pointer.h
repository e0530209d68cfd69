// Git LFS pointers: what stands in a clone of a repository in place of a large file that was not fetched.
#pragma once

#include <string>
#include <string_view>

namespace rotor {

/// Throws Error naming `path` and the command that fetches the file if `contents` are a pointer (git-lfs,
/// docs/spec.md).
void refuse_lfs_pointer(std::string_view contents, const std::string& path);

}  // namespace rotor
