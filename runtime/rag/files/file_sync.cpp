#include "runtime/rag/files/file_sync.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <set>
#include <unordered_set>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/documents.h"

namespace rotor::runtime::rag {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

/// Whether a document is of a file: "PATH", or "PATH#ID" of one with several.
bool is_of_file(const std::string& id, const std::string& file) {
  return id == file || id.starts_with(file + "#");
}

/// The same for any of `files`.
bool is_of_one(const std::string& id, const std::set<std::string>& files) {
  if (files.contains(id)) return true;
  for (size_t mark = id.find('#'); mark != std::string::npos; mark = id.find('#', mark + 1)) {
    if (files.contains(id.substr(0, mark))) return true;
  }
  return false;
}

void count(PutResult result, SyncCounts& counts) {
  switch (result) {
    case PutResult::added:
      ++counts.added;
      break;
    case PutResult::updated:
      ++counts.updated;
      break;
    case PutResult::unchanged:
      ++counts.unchanged;
      break;
  }
}

void add_metadata(const Origin& origin, Document& document) {
  for (const auto& [field, value] : origin.metadata.items()) document.metadata[field] = value;
}

}  // namespace

SyncCounts& SyncCounts::operator+=(const SyncCounts& other) {
  added += other.added;
  updated += other.updated;
  unchanged += other.unchanged;
  removed += other.removed;
  failed += other.failed;
  return *this;
}

std::vector<std::string> files_of(const Origin& origin) {
  if (!fs::is_directory(origin.path)) return {origin.path};
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(origin.path, fs::directory_options::skip_permission_denied, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code none;
    const fs::path& path = entry->path();
    if (is_hidden(path)) {
      if (entry->is_directory(none)) entry.disable_recursion_pending();
    } else if (entry->is_regular_file(none) && (origin.kind || kind_by_name(path.string()))) {
      files.push_back(path.string());
    }
  }
  if (error) fail(origin.path, ": cannot list it: ", error.message());
  std::ranges::sort(files);
  return files;
}

int64_t size_of(const std::string& file) {
  std::error_code none;
  const auto size = fs::file_size(file, none);
  return none ? 0 : static_cast<int64_t>(size);
}

FileSync::FileSync(KnowledgeBase& base, SyncEvents events) : base_(base), events_(std::move(events)) {}

SyncCounts FileSync::sync(const Origin& origin) {
  SyncCounts counts;
  if (!fs::exists(origin.path)) {
    ++counts.failed;
    if (events_.problem) {
      events_.problem(origin.path +
                      ": it is not there; what the base has of it stays (`rotor rag remove` takes it out)");
    }
    return counts;
  }
  return sync_within(origin, origin.path);
}

SyncCounts FileSync::sync_within(const Origin& origin, const std::string& path) {
  SyncCounts counts;
  Origin part = origin;
  part.path = path;
  std::set<std::string> files;
  if (fs::exists(path)) {
    const bool is_wanted = path == origin.path || fs::is_directory(path) || origin.kind || kind_by_name(path);
    if (is_wanted) std::ranges::copy(files_of(part), std::inserter(files, files.end()));
  }
  for (const std::string& file : files) {
    if (!keep_going()) return counts;
    sync_file(origin, file, counts);
  }
  remove_if(
      path, [&](const std::string& id) { return !is_of_one(id, files); }, counts);
  return counts;
}

SyncCounts FileSync::remove(const std::string& path) {
  SyncCounts counts;
  remove_if(
      path, [](const std::string&) { return true; }, counts);
  return counts;
}

void FileSync::sync_file(const Origin& origin, const std::string& file, SyncCounts& counts) {
  std::unordered_set<std::string> there;
  ReadOptions options{.kind = origin.kind, .encoding = origin.encoding, .progress = {}};
  options.progress = [&](int64_t done, int64_t) { report(bytes_ + done, counts); };
  bool whole = true;
  std::exception_ptr of_base;  // a full disk or a lost model: no other file will do better
  const auto put = [&](Document document) {
    add_metadata(origin, document);
    field_values(document.id, document.source, document.title, document.metadata);  // throws if they are bad
    try {
      count(base_.put(document, events_.keep_going), counts);
    } catch (const DocumentError&) {
      throw;
    } catch (...) {
      of_base = std::current_exception();
      return false;
    }
    there.insert(document.id);
    return whole = keep_going();
  };
  try {
    read_documents(file, options, put);
  } catch (const Error& error) {
    if (!fs::exists(file)) {  // it went after it was listed
      there.clear();
    } else {
      whole = false;
      ++counts.failed;
      if (events_.problem) events_.problem(error.what());
    }
  }
  if (of_base && !keep_going()) return;  // it was asked to stop
  if (of_base) std::rethrow_exception(of_base);
  const auto is_gone = [&](const std::string& id) {
    // A file may be called "PATH#ID", too.
    return is_of_file(id, file) && !there.contains(id) && (id == file || !fs::exists(id));
  };
  if (whole) remove_if(file, is_gone, counts);
  bytes_ += size_of(file);
  report(bytes_, counts);
}

void FileSync::remove_if(const std::string& path, const std::function<bool(const std::string& id)>& is_gone,
                         SyncCounts& counts) {
  const Filter below = {{"id", Condition::Relation::begins_with, path}};
  for_each_document(base_.store(), below, [&](const DocumentRecord& document) {
    if (!keep_going()) return false;
    const bool is_its = is_of_file(document.id, path) || is_within(document.id, path);
    if (is_its && is_gone(document.id) && base_.remove(document.id)) ++counts.removed;
    return true;
  });
}

void FileSync::report(int64_t bytes, const SyncCounts& counts) const {
  if (events_.progress) events_.progress(bytes, counts);
}

}  // namespace rotor::runtime::rag
