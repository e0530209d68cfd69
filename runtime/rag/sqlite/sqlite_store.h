// A base in one SQLite file (WAL), with its vectors once more in a FAISS index in memory, which is kept in
// FILE.vectors so that opening does not read them one by one.
//
// Each change gets a number, the generation; the index knows up to which one it goes and catches up from the
// database before a search. So it does not matter who changed the base, this process or another one, nor what
// a crash left of the index's file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

struct SqliteOptions {
  /// Told what a user should know: an index that had to be built anew.
  std::function<void(const std::string& message)> say = {};
};

/// Makes a new base. Throws Error if there is a file of that name.
void create_sqlite_store(const std::string& path, const BaseConfig& config);

/// Throws Error naming the file if it is no base, damaged, or of a newer version.
std::unique_ptr<Store> open_sqlite_store(const std::string& path, const SqliteOptions& options = {});

}  // namespace rotor::runtime::rag
