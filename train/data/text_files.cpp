// Directory walks with every error looked at.
#include "train/data/text_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "rotor/core/error.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;

bool has_ending(const fs::path& path, TextFormat format) {
  const std::string ending = path.extension().string();
  if (format == TextFormat::jsonl) return ending == ".jsonl";
  return ending == ".txt" || ending == ".md";
}

TextFile describe(const std::string& path, std::string name) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) fail(path, ": cannot open: ", std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(path, ": expected a regular file or a directory");
  const int64_t mtime_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return {path, std::move(name), status.st_size, mtime_ns};
}

std::vector<TextFile> walk(const std::string& directory, TextFormat format) {
  std::vector<TextFile> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (!has_ending(entry->path(), format) || entry->is_directory(error)) continue;
    const std::string path = entry->path().string();
    files.push_back(describe(path, entry->path().lexically_relative(directory).generic_string()));
  }
  if (error) fail(directory, ": cannot read the directory: ", error.message());
  std::sort(files.begin(), files.end(), [](const TextFile& a, const TextFile& b) { return a.name < b.name; });
  return files;
}

}  // namespace

TextFormat text_format(const std::string& name) {
  if (name == "text") return TextFormat::text;
  if (name == "jsonl") return TextFormat::jsonl;
  fail("data.type: expected text or jsonl, found \"", name, "\"");
}

std::vector<TextFile> list_text_files(const std::string& path, TextFormat format) {
  std::error_code error;
  const bool is_directory = fs::is_directory(path, error);
  std::vector<TextFile> files =
      is_directory ? walk(path, format) : std::vector{describe(path, fs::path(path).filename().string())};
  if (files.empty()) {
    fail(path, ": expected ", format == TextFormat::text ? "*.txt or *.md" : "*.jsonl",
         " files in this directory or below it, found none");
  }
  if (total_bytes(files) == 0) fail(path, ": the corpus is empty");
  return files;
}

int64_t total_bytes(const std::vector<TextFile>& files) {
  int64_t bytes = 0;
  for (const TextFile& file : files) bytes += file.file_bytes;
  return bytes;
}

}  // namespace rotor::train
