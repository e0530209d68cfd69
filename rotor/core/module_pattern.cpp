// All ways to match are followed at once, so no pattern takes exponential time.
#include "rotor/core/module_pattern.h"

#include <cctype>
#include <utility>
#include <vector>

#include "rotor/core/error.h"

namespace rotor {
namespace {

/// A character of a pattern.
struct Atom {
  char literal = 0;
  bool any = false;       ///< `.`
  bool repeated = false;  ///< followed by `*`

  bool accepts(char c) const { return any || c == literal; }
};

std::vector<Atom> parse(const std::string& pattern) {
  const auto refuse = [&] {
    fail("modules_to_not_convert: expected a module's name, in which . stands for any character and .* ",
         "for any text, found \"", pattern, "\"");
  };
  const auto is_plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  };
  std::vector<Atom> atoms;
  for (size_t i = 0; i < pattern.size(); ++i) {
    Atom atom{.literal = pattern[i]};
    if (atom.literal == '\\') {
      atom.literal = ++i < pattern.size() ? pattern[i] : 'd';
      if (!std::ispunct(static_cast<unsigned char>(atom.literal))) refuse();
    } else if (atom.literal == '.') {
      atom.any = true;
    } else if (!is_plain(atom.literal)) {
      refuse();
    }
    atom.repeated = i + 1 < pattern.size() && pattern[i + 1] == '*';
    if (atom.repeated) ++i;
    atoms.push_back(atom);
  }
  return atoms;
}

}  // namespace

bool matches_module(const std::string& pattern, const std::string& module) {
  const std::vector<Atom> atoms = parse(pattern);
  if (module.ends_with(pattern)) return true;
  // matched[i]: the atoms so far match the first i characters.
  std::vector<bool> matched(module.size() + 1);
  matched[0] = true;
  for (const Atom& atom : atoms) {
    std::vector<bool> next = atom.repeated ? matched : std::vector<bool>(matched.size());
    bool alive = false;
    for (size_t i = 0; i <= module.size(); ++i) {
      const bool from_here = atom.repeated ? next[i] : matched[i];
      if (i < module.size() && from_here && atom.accepts(module[i])) next[i + 1] = true;
      alive = alive || next[i];
    }
    if (!alive) return false;
    matched = std::move(next);
  }
  for (size_t i = 0; i <= module.size(); ++i) {
    const bool boundary = i == module.size() || module[i] == '.' || (i > 0 && module[i - 1] == '.');
    if (matched[i] && boundary) return true;
  }
  return false;
}

}  // namespace rotor
