// What several readers do to characters: encodings, blanks, entities.
#pragma once

#include <string>
#include <string_view>

namespace rotor::runtime::rag {

/// ASCII's.
inline constexpr std::string_view kBlanks = " \t\r\n\f\v";

/// Without blanks around it.
std::string_view trimmed(std::string_view text);

/// ASCII's letters in lower case; all others as they are.
std::string lower_case(std::string_view text);

/// What of it is no UTF-8 becomes U+FFFD, zeros blanks.
std::string as_utf8(std::string bytes);

/// What an entity of HTML stands for: "&eacute;", "&#233;", "&#xE9;". A space for &nbsp; and nothing for
/// &shy;, which no search would find. One that HTML does not know stays as it is.
std::string entity_text(std::string_view entity);

/// `text` with its entities replaced.
std::string with_entities_as_text(std::string_view text);

/// The encoding that a page of HTML says it has, in its beginning, as browsers take it; "" if it says none.
std::string encoding_of_html(std::string_view bytes);

}  // namespace rotor::runtime::rag
