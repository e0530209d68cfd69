// Integers stay integers, objects keep the order of their keys.
#include "rotor/text/jinja/json_value.h"

#include "rotor/core/error.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {

Value from_json(const OrderedJson& json, const std::string& field) {
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return json.get<bool>();
    case OrderedJson::value_t::number_integer:
      return json.get<int64_t>();
    case OrderedJson::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        fail(field, ": expected an integer of 64 bits, found ", json.get<uint64_t>());
      }
      return json.get<int64_t>();
    case OrderedJson::value_t::number_float:
      return json.get<double>();
    case OrderedJson::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!is_valid_utf8(text)) fail(field, ": expected UTF-8, found other bytes");
      return text;
    }
    case OrderedJson::value_t::array: {
      Items items;
      for (size_t i = 0; i < json.size(); ++i) items.push_back(from_json(json[i], cat(field, "[", i, "]")));
      return make_list(std::move(items));
    }
    case OrderedJson::value_t::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) {
        if (!is_valid_utf8(key)) fail(field, ": expected keys in UTF-8, found other bytes");
        dict.set(key, from_json(value, cat(field, ".", key)));
      }
      return make_dict(std::move(dict));
    }
    default:
      return nullptr;
  }
}

}  // namespace rotor::text::jinja
