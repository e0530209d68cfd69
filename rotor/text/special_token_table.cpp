// A linear search where a first byte is that of a special token: few are, and few texts hold one.
#include "rotor/text/special_token_table.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

std::vector<SpecialTokenTable::Entry> entries_of(const BpeTables& tables) {
  std::vector<SpecialTokenTable::Entry> entries;
  for (const uint32_t id : tables.special_ids) {
    if (id >= tables.num_tokens()) {
      fail("tensor \"", kBpeTensors[5], "\": expected ids of 0 to ", tables.num_tokens() - 1, ", found ", id);
    }
    entries.push_back({tables.token(id), static_cast<TokenId>(id)});
  }
  return entries;
}

}  // namespace

SpecialTokenTable::SpecialTokenTable(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::ranges::stable_sort(entries_, std::greater(), [](const Entry& entry) { return entry.first.size(); });
  for (const auto& [name, id] : entries_) {
    if (!name.empty()) is_first_byte_[static_cast<uint8_t>(name[0])] = true;
  }
}

SpecialTokenTable::SpecialTokenTable(const BpeTables& tables) : SpecialTokenTable(entries_of(tables)) {}

std::optional<TokenId> SpecialTokenTable::find(std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::first);
  return found == entries_.end() ? std::nullopt : std::optional(found->second);
}

SpecialTokenTable::Place SpecialTokenTable::next(std::string_view text, size_t begin) const {
  for (size_t i = begin; i < text.size(); ++i) {
    if (!is_first_byte_[static_cast<uint8_t>(text[i])]) continue;
    const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) {
      return !entry.first.empty() && text.substr(i).starts_with(entry.first);
    });
    if (found != entries_.end()) return {i, &*found};
  }
  return {text.size(), nullptr};
}

std::vector<uint32_t> special_ids_of(std::string_view kind,
                                     std::vector<std::pair<std::string, TokenId>> specials,
                                     std::span<const std::string> tokens) {
  std::ranges::sort(specials, [](const auto& a, const auto& b) {
    if (a.first.size() != b.first.size()) return a.first.size() > b.first.size();
    return std::tie(a.second, a.first) < std::tie(b.second, b.first);
  });
  specials.erase(std::unique(specials.begin(), specials.end()), specials.end());
  std::vector<uint32_t> ids;
  for (const auto& [name, id] : specials) {
    const bool is_token = id >= 0 && static_cast<size_t>(id) < tokens.size();
    if (name.empty() || !is_token || tokens[static_cast<size_t>(id)] != name) {
      fail(kind, ": special token \"", name, "\": its id ", id, " is ",
           is_token ? cat("\"", tokens[static_cast<size_t>(id)], "\"") : "out of range");
    }
    ids.push_back(static_cast<uint32_t>(id));
  }
  return ids;
}

}  // namespace rotor::text
