// What tests of language models ask of a session, and how they hold it against golden vectors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "rotor/formats/safetensors.h"
#include "rotor/text/tokenizer.h"
#include "runtime/engine/session.h"

namespace rotor::test {

using runtime::Session;
using text::TokenId;

/// The READMEs of the golden models: atol 1e-3; a correct float32 implementation gets about 1e-5.
inline constexpr double kGoldenTolerance = 1e-3;

inline std::vector<TokenId> golden_ids(const SafetensorsFile& golden, const std::string& name) {
  const auto ids = golden.read<int64_t>(name);
  return {ids.begin(), ids.end()};
}

inline std::vector<float> all_logits(Session& session, const std::vector<TokenId>& ids) {
  std::vector<float> all;
  session.feed_all(
      ids, [&](int64_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
  return all;
}

inline TokenId argmax(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// The most likely token `count` times.
inline std::vector<TokenId> greedy(Session& session, const std::vector<TokenId>& prompt, size_t count) {
  std::vector<TokenId> ids = {argmax(session.feed(prompt))};
  while (ids.size() < count) ids.push_back(argmax(session.feed({&ids.back(), 1})));
  return ids;
}

inline double largest_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

}  // namespace rotor::test
