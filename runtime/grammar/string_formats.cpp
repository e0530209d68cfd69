// Formats in our own notation of grammars.
#include "runtime/grammar/string_formats.h"

#include <vector>

#include "rotor/core/error.h"
#include "runtime/grammar/gbnf.h"

namespace rotor::runtime::grammar {
namespace {

/// RFC 3339's full-date, with the lengths of months; 29 February in leap years alone.
constexpr const char* kDate = R"(
date ::= year "-" day | leap-year "-02-29"
year ::= [0-9]{4}
day ::= ("0" [13578] | "10" | "12") "-" (d28 | "29" | "30" | "31")
  | ("0" [469] | "11") "-" (d28 | "29" | "30") | "02-" d28
d28 ::= "0" [1-9] | "1" [0-9] | "2" [0-8]
leap-year ::= [0-9]{2} fourth | ([02468] [048] | [13579] [26]) "00"
fourth ::= "0" [48] | [2468] [048] | [13579] [26]
)";

/// RFC 3339's full-time, without leap seconds, which few clocks know.
constexpr const char* kTime = R"(
time ::= hour ":" minute ":" minute ("." [0-9]{1,9})? ("Z" | [+-] hour ":" minute)
hour ::= [01] [0-9] | "2" [0-3]
minute ::= [0-5] [0-9]
)";

constexpr const char* kDuration = R"(
root ::= "P" (days time? | time | n "W")
days ::= n "Y" (n "M" (n "D")?)? | n "M" (n "D")? | n "D"
time ::= "T" (n "H" (n "M" (n "S")?)? | n "M" (n "S")? | n "S")
n ::= [0-9]{1,4}
)";

constexpr const char* kUuid = R"(
root ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
hex ::= [0-9a-fA-F]
)";

constexpr const char* kIpv4 = R"(
root ::= byte "." byte "." byte "." byte
byte ::= [0-9] | [1-9] [0-9] | "1" [0-9] [0-9] | "2" [0-4] [0-9] | "25" [0-5]
)";

constexpr const char* kIpv6 = R"(
root ::= (h ":"){7} h | "::" (h (":" h){0,5})? | h "::" (h (":" h){0,4})? | h ":" h "::" (h (":" h){0,3})?
  | h (":" h){2} "::" (h (":" h){0,2})? | h (":" h){3} "::" (h (":" h)?)? | h (":" h){4} "::" h?
  | h (":" h){5} "::"
h ::= [0-9a-fA-F]{1,4}
)";

constexpr const char* kHost = R"(
host ::= label ("." label){0,3}
label ::= [a-zA-Z0-9] ([a-zA-Z0-9]{0,29} | [a-zA-Z0-9]{0,10} "-" [a-zA-Z0-9]{1,18})
)";

constexpr const char* kEmail = R"(
root ::= word ("." word){0,2} "@" host
word ::= [a-zA-Z0-9_+-]{1,20}
)";

constexpr const char* kUri = R"(
root ::= "http" "s"? "://" host (":" [1-9] [0-9]{0,3})? ("/" part){0,20} ("?" query)? ("#" query)?
part ::= (plain | "%" [0-9A-F]{2}){0,100}
query ::= (plain | [/?] | "%" [0-9A-F]{2}){0,200}
plain ::= [a-zA-Z0-9._~!$&'()*+,;=:@-]
)";

struct Format {
  const char* name;
  std::vector<const char*> rules;
};

const std::vector<Format>& formats() {
  static const std::vector<Format> kFormats = {
      {"date", {"root ::= date", kDate}},
      {"time", {"root ::= time", kTime}},
      {"date-time", {"root ::= date \"T\" time", kDate, kTime}},
      {"duration", {kDuration}},
      {"uuid", {kUuid}},
      {"ipv4", {kIpv4}},
      {"ipv6", {kIpv6}},
      {"hostname", {"root ::= host", kHost}},
      {"email", {kEmail, kHost}},
      {"uri", {kUri, kHost}},
  };
  return kFormats;
}

}  // namespace

std::optional<GrammarBuilder::Expression> compile_format(const std::string& name, GrammarBuilder& builder) {
  for (const Format& format : formats()) {
    if (name != format.name) continue;
    std::string text;
    for (const char* rules : format.rules) text += rules;
    return builder.call(add_gbnf(text, "format " + name, builder));
  }
  return {};
}

std::string known_formats() {
  std::string names;
  for (const Format& format : formats()) names += cat(names.empty() ? "" : ", ", format.name);
  return names;
}

}  // namespace rotor::runtime::grammar
