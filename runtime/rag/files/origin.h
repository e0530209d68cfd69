// What a base was told to hold: files and folders, and how they are to be read. It is kept in the base, so
// that an update needs no more than the base's name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/rag/readers/reader.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

struct Origin {
  std::string path;                ///< absolute; of a file, or of a folder with all below it
  std::optional<FileKind> kind;    ///< of all files; none: by their names
  std::string encoding;            ///< of texts, "": by what they look like
  Json metadata = Json::object();  ///< what each document gets besides its own
};

/// By path.
std::vector<Origin> origins(Store& store);
void keep_origin(Store& store, const Origin& origin);
/// False if it is none of the base's.
bool forget_origin(Store& store, const std::string& path);

/// Absolute, without "." and "..", and without a slash at its end. Symbolic links stay what they are.
std::string absolute_path(const std::string& path);
/// Whether `path` is `folder` or below it.
bool is_within(const std::string& path, const std::string& folder);

}  // namespace rotor::runtime::rag
