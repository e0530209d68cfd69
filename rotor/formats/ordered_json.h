// JSON whose objects keep the order of their keys, for texts that are made of it, such as the descriptions of
// tools in a chat. As strict as json.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace rotor {

using OrderedJson = nlohmann::ordered_json;

/// As parse_json().
OrderedJson parse_ordered_json(std::string_view text, const std::string& source);

/// As read_json_file().
OrderedJson read_ordered_json_file(const std::string& path);

/// As the other quote_json().
std::string quote_json(const OrderedJson& json);

}  // namespace rotor
