// Files with a line {"text": ...} a text.
#pragma once

#include <functional>
#include <string>

namespace rotor::runtime::cli {

/// Calls `on_text` for each line of `path` that is not empty. Throws Error naming file and line of one that
/// is something else.
void for_each_jsonl_text(const std::string& path, const std::function<void(std::string text)>& on_text);

}  // namespace rotor::runtime::cli
