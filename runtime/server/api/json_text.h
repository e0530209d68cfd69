// JSON written piece by piece, where building a value for each token of a stream would cost more than the
// token.
#pragma once

#include <string>
#include <string_view>

namespace rotor::runtime::server {

/// Appends `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

}  // namespace rotor::runtime::server
