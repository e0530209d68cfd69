// JSON as values of templates.
#pragma once

#include <string>

#include "rotor/formats/ordered_json.h"
#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {

/// Any JSON value. Throws Error naming `field` for integers that do not fit into 64 bits, and for texts that
/// are not UTF-8.
Value from_json(const OrderedJson& json, const std::string& field);

}  // namespace rotor::text::jinja
