// Which keys are obeyed, which change nothing about a trained adapter, and which must be at their defaults.
// Reference: PEFT 0.21.2, tuners/lora/config.py, tuners/tuners_utils.py (check_target_module_exists) and
// utils/other.py (get_pattern_key).
#include "rotor/formats/lora_config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/name_pattern.h"
#include "rotor/formats/ordered_json.h"

namespace rotor {
namespace {

constexpr int64_t kMostRank = 65536;

/// What says how an adapter came to be, or who wrote it: nothing about what it computes.
const std::set<std::string> kOfTraining = {"auto_mapping",        "base_model_class", "corda_config",
                                           "ensure_weight_tying", "eva_config",       "inference_mode",
                                           "lora_ga_config",      "loftq_config",     "megatron_core",
                                           "monteclora_config",   "parent_library",   "peft_version",
                                           "qalora_group_size",   "revision",         "runtime_config",
                                           "task_type",           "velora_config"};

/// What an adapter may say without a base that differs from the one it names.
const std::set<std::string> kPlainStarts = {"gaussian", "eva", "orthogonal"};

bool is_empty(const OrderedJson& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_structured() && value.empty()) || value == "";
}

/// Reads one file.
class Reader {
 public:
  Reader(std::string_view text, const std::string& path)
      : path_(path), json_(parse_ordered_json(text, path)) {
    if (!json_.is_object()) fail(path_, ": expected a JSON object, found ", json_.type_name());
  }

  LoraConfig read() {
    LoraConfig config;
    const OrderedJson& type = take("peft_type");
    if (type != "LORA") refuse("peft_type", "\"LORA\"", type);
    config.rank = integer("r", take("r"), config.rank);
    config.alpha = number("lora_alpha", take("lora_alpha"), config.alpha);
    config.use_rslora = boolean("use_rslora");
    config.dropout = number("lora_dropout", take("lora_dropout"), 0.0);
    read_targets(config);
    config.excluded = choice("exclude_modules", take("exclude_modules"));
    read_layers(config);
    for (const auto& [pattern, value] : entries("rank_pattern")) {
      config.rank_pattern.emplace_back(pattern, integer(cat("rank_pattern: \"", pattern, "\""), value, 0));
    }
    for (const auto& [pattern, value] : entries("alpha_pattern")) {
      config.alpha_pattern.emplace_back(pattern, number(cat("alpha_pattern: \"", pattern, "\""), value, 0));
    }
    config.base_model = text("base_model_name_or_path");
    config.base_fingerprint = text(kBaseFingerprintKey);
    check_start(take("init_lora_weights"));
    const OrderedJson& bias = take("bias");
    if (!is_empty(bias) && bias != "none") refuse("bias", "\"none\"", bias);
    check_rest();
    return config;
  }

 private:
  [[noreturn]] void refuse(const std::string& key, const std::string& expected,
                           const OrderedJson& found) const {
    fail(path_, ": ", key, ": expected ", expected, ", found ", quote_json(found));
  }

  /// The value of a key, null if it is not there.
  const OrderedJson& take(const std::string& key) {
    static const OrderedJson null;
    taken_.insert(key);
    const auto found = json_.find(key);
    return found == json_.end() ? null : *found;
  }

  int64_t integer(const std::string& key, const OrderedJson& value, int64_t fallback) const {
    if (value.is_null() && fallback > 0) return fallback;
    const bool fits = value.is_number_integer() && value >= 1 && value <= kMostRank;
    if (!fits) refuse(key, cat("an integer from 1 to ", kMostRank), value);
    return value.get<int64_t>();
  }
  double number(const std::string& key, const OrderedJson& value, double fallback) const {
    if (value.is_null()) return fallback;
    if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(key, "a number", value);
    return value.get<double>();
  }
  bool boolean(const std::string& key) {
    const OrderedJson& value = take(key);
    if (!value.is_null() && !value.is_boolean()) refuse(key, "true or false", value);
    return value.is_boolean() && value.get<bool>();
  }
  std::string text(const std::string& key) {
    const OrderedJson& value = take(key);
    if (!value.is_null() && !value.is_string()) refuse(key, "a string", value);
    return value.is_null() ? "" : value.get<std::string>();
  }
  std::vector<std::pair<std::string, OrderedJson>> entries(const std::string& key) {
    const OrderedJson& value = take(key);
    if (value.is_null()) return {};
    if (!value.is_object()) refuse(key, "an object", value);
    std::vector<std::pair<std::string, OrderedJson>> all;
    for (const auto& [name, entry] : value.items()) all.emplace_back(name, entry);
    return all;
  }

  ModuleChoice choice(const std::string& key, const OrderedJson& value) const {
    if (value.is_null()) return {};
    if (value.is_string()) return {.names = {}, .pattern = value.get<std::string>()};
    const auto is_name = [](const OrderedJson& name) { return name.is_string() && name != ""; };
    if (!value.is_array() || !std::ranges::all_of(value, is_name)) {
      refuse(key, "a list of names, or a regular expression", value);
    }
    return {.names = value.get<std::vector<std::string>>(), .pattern = {}};
  }

  void read_targets(LoraConfig& config) {
    config.targets = choice("target_modules", take("target_modules"));
    std::string lower = config.targets.pattern;
    std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    config.all_linear = lower == kAllLinear;
    if (config.all_linear) config.targets = {};
  }

  void read_layers(LoraConfig& config) {
    const OrderedJson& pattern = take("layers_pattern");
    if (!is_empty(pattern) && pattern != "layers" && pattern != OrderedJson({"layers"})) {
      refuse("layers_pattern", "\"layers\"", pattern);
    }
    const OrderedJson& value = take("layers_to_transform");
    if (is_empty(value)) return;
    const OrderedJson list = value.is_array() ? value : OrderedJson::array({value});
    config.layers.emplace();
    for (const OrderedJson& layer : list) {
      if (!layer.is_number_unsigned()) refuse("layers_to_transform", "numbers of layers", value);
      config.layers->push_back(layer.get<int64_t>());
    }
  }

  /// PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA take from the base what they put into the adapter.
  void check_start(const OrderedJson& start) const {
    if (start.is_null() || start.is_boolean()) return;
    if (start.is_string() && kPlainStarts.contains(start.get<std::string>())) return;
    refuse("init_lora_weights",
           "true, false, \"gaussian\", \"orthogonal\" or \"eva\", which leave the base as "
           "it is",
           start);
  }

  void check_rest() const {
    for (const auto& [key, value] : json_.items()) {
      if (taken_.contains(key) || kOfTraining.contains(key) || key.starts_with("rotor_")) continue;
      if (!is_empty(value))
        fail(path_, ": ", key, ": not supported, expected null or false, found ", quote_json(value));
    }
  }

  const std::string& path_;
  OrderedJson json_;
  std::set<std::string> taken_;
};

bool chooses(const ModuleChoice& choice, const std::string& module, const char* key) {
  if (!choice.pattern.empty()) {
    return matches_whole(choice.pattern, module, cat(kAdapterConfigFile, ": ", key));
  }
  return std::ranges::any_of(
      choice.names, [&](const std::string& name) { return module == name || module.ends_with("." + name); });
}

/// The number behind "layers." in a module's name.
std::optional<int64_t> layer_of(const std::string& module) {
  constexpr std::string_view kLayers = ".layers.";
  const size_t at = module.find(kLayers);
  if (at == std::string::npos) return std::nullopt;
  int64_t layer = 0;
  size_t digits = 0;
  for (size_t i = at + kLayers.size(); i < module.size() && module[i] >= '0' && module[i] <= '9'; ++i) {
    if (++digits > 9) return std::nullopt;
    layer = 10 * layer + (module[i] - '0');
  }
  return digits > 0 ? std::optional(layer) : std::nullopt;
}

template <class Value>
Value value_of(const std::vector<std::pair<std::string, Value>>& patterns, const std::string& module,
               const char* key, Value fallback) {
  for (const auto& [pattern, value] : patterns) {
    if (matches_whole("(.*\\.)?(" + pattern + ")", module, cat(kAdapterConfigFile, ": ", key))) return value;
  }
  return fallback;
}

OrderedJson to_json(const ModuleChoice& choice) {
  if (choice.empty()) return nullptr;
  return choice.pattern.empty() ? OrderedJson(choice.names) : OrderedJson(choice.pattern);
}

/// As PEFT writes it: 16, not 16.0.
OrderedJson to_json(double value) {
  const bool whole = value == std::floor(value) && std::fabs(value) < 0x1p53;
  return whole ? OrderedJson(static_cast<int64_t>(value)) : OrderedJson(value);
}

}  // namespace

bool LoraConfig::adapts(const std::string& module) const {
  if (!excluded.empty() && chooses(excluded, module, "exclude_modules")) return false;
  if (!targets.empty() && !chooses(targets, module, "target_modules")) return false;
  // PEFT counts layers of a list of names alone.
  if (layers && !targets.names.empty() && !std::ranges::count(targets.names, module)) {
    const auto layer = layer_of(module);
    return layer && std::ranges::count(*layers, *layer) > 0;
  }
  return true;
}

int64_t LoraConfig::rank_of(const std::string& module) const {
  return value_of(rank_pattern, module, "rank_pattern", rank);
}

double LoraConfig::scale_of(const std::string& module) const {
  const auto r = static_cast<double>(rank_of(module));
  return value_of(alpha_pattern, module, "alpha_pattern", alpha) / (use_rslora ? std::sqrt(r) : r);
}

LoraConfig lora_config_from_json(std::string_view text, const std::string& path) {
  return Reader(text, path).read();
}

std::string lora_config_to_json(const LoraConfig& config) {
  OrderedJson json = {{"peft_type", "LORA"}, {"task_type", "CAUSAL_LM"}};
  json["base_model_name_or_path"] =
      config.base_model.empty() ? OrderedJson(nullptr) : OrderedJson(config.base_model);
  if (!config.base_fingerprint.empty()) json[kBaseFingerprintKey] = config.base_fingerprint;
  json["inference_mode"] = true;
  json["r"] = config.rank;
  json["lora_alpha"] = to_json(config.alpha);
  json["lora_dropout"] = config.dropout;
  json["use_rslora"] = config.use_rslora;
  json["target_modules"] = config.all_linear ? OrderedJson(kAllLinear) : to_json(config.targets);
  json["exclude_modules"] = to_json(config.excluded);
  json["layers_to_transform"] = config.layers ? OrderedJson(*config.layers) : OrderedJson(nullptr);
  json["rank_pattern"] = OrderedJson::object();
  for (const auto& [pattern, rank] : config.rank_pattern) json["rank_pattern"][pattern] = rank;
  json["alpha_pattern"] = OrderedJson::object();
  for (const auto& [pattern, alpha] : config.alpha_pattern) json["alpha_pattern"][pattern] = to_json(alpha);
  json["bias"] = "none";
  json["fan_in_fan_out"] = false;
  json["init_lora_weights"] = true;
  json["modules_to_save"] = nullptr;
  json["use_dora"] = false;
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace rotor
