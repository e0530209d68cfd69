// The names by which a config leaves linear layers out of quantization (`modules_to_not_convert`), matched as
// transformers 5.23 does (quantizers/quantizers_utils.py, should_convert_module). Earlier versions differ:
// 4.x took a name found anywhere in the path. A name that only they understand matches nothing here.
#pragma once

#include <string>

namespace rotor {

/// Whether `pattern` means the module whose dotted path is `module` ("model.layers.0.mlp.up_proj"):
/// - the path ends with the pattern as it is written ("up_proj"), or
/// - the pattern, read as a regular expression, matches the path from its start up to a module boundary: its
///   end, the place before a dot or the one behind it ("model.layers.1" means all of layer 1, nothing of 11).
/// Of Python's regular expressions `.`, `*` and `\` before punctuation are understood; takes time in
/// proportion to the product of the lengths. Throws Error naming modules_to_not_convert and the pattern for
/// all others.
bool matches_module(const std::string& pattern, const std::string& module);

}  // namespace rotor
