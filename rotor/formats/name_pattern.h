// Regular expressions that configs of other programs hold, matched against names of modules. They are written
// for Python's `re`; PCRE2 takes them, within a bound on work, since a config may come from anyone.
#pragma once

#include <string>

namespace rotor {

/// Whether `pattern` matches all of `name` (Python: re.fullmatch). Throws Error for a pattern that is none,
/// or that needs too many steps; `where` stands before its message: "adapter_config.json: target_modules".
bool matches_whole(const std::string& pattern, const std::string& name, const std::string& where);

}  // namespace rotor
