// Reading of the sampling flags; SamplerOptions checks the numbers.
#include "runtime/cli/sampling_options.h"

#include <charconv>
#include <random>
#include <utility>
#include <vector>

#include "rotor/core/error.h"

namespace rotor::runtime::cli {
namespace {

/// "15043+1.5", "2-inf".
std::pair<text::TokenId, float> parse_bias(const std::string& text) {
  text::TokenId id = 0;
  float bias = 0.0F;
  const char* const end = text.data() + text.size();
  const auto [sign, id_error] = std::from_chars(text.data(), end, id);
  if (id_error == std::errc() && sign != end && (*sign == '+' || *sign == '-')) {
    const auto [rest, bias_error] = std::from_chars(*sign == '+' ? sign + 1 : sign, end, bias);
    if (bias_error == std::errc() && rest == end) return {id, bias};
  }
  fail("--logit-bias: expected ID+BIAS or ID-BIAS, such as 15043+1 or 2-inf, found \"", text, "\"");
}

}  // namespace

void add_sampling_options(cxxopts::Options& options) {
  options.add_options("Sampling")("temp", "temperature; 0: always the most likely token",
                                  cxxopts::value<double>()->default_value("0.8"))(
      "top-k", "only the K most likely tokens; 0: off", cxxopts::value<int64_t>()->default_value("40"))(
      "top-p", "only the most likely tokens that make up this probability; 1: off",
      cxxopts::value<double>()->default_value("0.95"))(
      "min-p", "only tokens with this share of the largest probability; 0: off",
      cxxopts::value<double>()->default_value("0.05"))("typical", "locally typical sampling; 1: off",
                                                       cxxopts::value<double>()->default_value("1"))(
      "repeat-penalty", "divides the logits of repeated tokens; 1: off",
      cxxopts::value<double>()->default_value("1"))("repeat-last-n",
                                                    "tokens that penalties look at; 0: none, -1: all",
                                                    cxxopts::value<int64_t>()->default_value("64"))(
      "frequency-penalty", "for each time a token came; 0: off",
      cxxopts::value<double>()->default_value("0"))("presence-penalty",
                                                    "for a token that came at all; 0: off",
                                                    cxxopts::value<double>()->default_value("0"))(
      "s,seed", "of the random numbers; -1: another one each time",
      cxxopts::value<int64_t>()->default_value("-1"))(
      "l,logit-bias", "ID+BIAS or ID-BIAS: adds to the logit of a token; -inf bans it; may be repeated",
      cxxopts::value<std::vector<std::string>>());
}

SamplerOptions read_sampling_options(const cxxopts::ParseResult& parsed) {
  SamplerOptions options;
  options.temperature = parsed["temp"].as<double>();
  options.top_k = parsed["top-k"].as<int64_t>();
  options.top_p = parsed["top-p"].as<double>();
  options.min_p = parsed["min-p"].as<double>();
  options.typical_p = parsed["typical"].as<double>();
  options.repeat_penalty = parsed["repeat-penalty"].as<double>();
  options.repeat_last_n = parsed["repeat-last-n"].as<int64_t>();
  options.frequency_penalty = parsed["frequency-penalty"].as<double>();
  options.presence_penalty = parsed["presence-penalty"].as<double>();
  const auto seed = parsed["seed"].as<int64_t>();
  if (seed < -1) fail("--seed: expected -1 (another one each time), 0 or more, found ", seed);
  options.seed = seed == -1 ? std::random_device()() : static_cast<uint64_t>(seed);
  if (parsed.count("logit-bias") != 0) {
    for (const std::string& text : parsed["logit-bias"].as<std::vector<std::string>>()) {
      const auto [id, bias] = parse_bias(text);
      options.logit_bias[id] += bias;
    }
  }
  return options;
}

}  // namespace rotor::runtime::cli
