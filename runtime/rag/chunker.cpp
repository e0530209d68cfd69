// A document becomes sentences with their headings; these fill one chunk after another.
#include "runtime/rag/chunker.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

bool is_blank(char c) {
  return kBlanks.find(c) != std::string_view::npos;
}

/// Behind the next sentence of `text`: behind an end mark that a blank follows, or a line's end in `lines`.
size_t sentence_end(std::string_view text, bool lines) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (lines && text[i] == '\n') return i + 1;
    const bool ends = text[i] == '.' || text[i] == '!' || text[i] == '?';
    if (ends && !lines && i + 1 < text.size() && is_blank(text[i + 1])) return i + 2;
    // The ideographic full stop and its like, U+3002, U+FF01, U+FF1F: no blank follows them.
    if (!lines && (text.substr(i).starts_with("\u3002") || text.substr(i).starts_with("\uff01") ||
                   text.substr(i).starts_with("\uff1f"))) {
      return i + 3;
    }
  }
  return text.size();
}

/// Behind the first character of `text` or, if `words`, behind its first word and the blanks that follow.
size_t piece_end(std::string_view text, bool words) {
  size_t end = 1;
  if (words) {
    end = std::min(text.find_first_of(kBlanks), text.size());
    while (end < text.size() && is_blank(text[end])) ++end;
  } else {
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
  }
  return end;
}

/// The longest beginning of `text` of at most `most` tokens that ends behind a word, or behind a character if
/// the first word is too long. Not empty.
size_t fitting(std::string_view text, int64_t most, const CountTokens& count) {
  for (const bool words : {true, false}) {
    std::vector<size_t> ends;
    for (size_t at = 0; at < text.size() && std::ssize(ends) < 4 * most;) {
      at += piece_end(text.substr(at), words);
      ends.push_back(at);
    }
    const auto fits = [&](size_t end) { return count(text.substr(0, end)) <= most; };
    const auto too_long = std::partition_point(ends.begin(), ends.end(), fits);
    if (too_long != ends.begin()) return *(too_long - 1);
  }
  return piece_end(text, false);
}

struct Sentence {
  std::string text;
  int64_t tokens = 0;
  Place place;
  bool begins_block = false;
};

/// What of a document stands under the same headings.
struct Section {
  std::string heading;
  Place place;
  std::vector<Sentence> sentences;
};

class Sections {
 public:
  /// `title` stands above all headings; "": nothing does.
  Sections(const std::string& title, const ChunkOptions& options, const CountTokens& count)
      : options_(options), count_(count) {
    if (!title.empty()) above_.emplace_back(0, title);
  }

  void add(const Block& block) {
    if (block.kind == Block::Kind::heading) return add_heading(block);
    if (sections_.empty()) begin(block.place);
    const bool lines = block.kind == Block::Kind::code || block.kind == Block::Kind::table;
    const int64_t most = room();
    std::string_view rest = block.text;
    Place place = block.place;
    bool first = true;
    while (!trimmed(rest).empty()) {
      const size_t end = sentence_end(rest, lines);
      std::string_view sentence = rest.substr(0, end);
      rest.remove_prefix(end);
      while (!trimmed(sentence).empty()) {
        const int64_t tokens = count_(sentence);
        const size_t taken = tokens <= most ? sentence.size() : fitting(sentence, most, count_);
        const std::string_view part = sentence.substr(0, taken);
        sections_.back().sentences.push_back(
            {std::string(part), tokens <= most ? tokens : count_(part), place, first});
        first = false;
        if (place.line > 0) place.line += std::ranges::count(part, '\n');
        sentence.remove_prefix(taken);
      }
    }
  }

  /// What a section's heading leaves of a chunk, less what tokens may change where the two meet.
  int64_t room() const {
    const std::string& heading = sections_.back().heading;
    return heading.empty() ? options_.max_tokens : options_.max_tokens - count_(heading + "\n") - 2;
  }

  std::vector<Section> take() { return std::move(sections_); }

 private:
  void add_heading(const Block& block) {
    while (!above_.empty() && above_.back().first >= block.level) above_.pop_back();
    above_.emplace_back(block.level, std::string(trimmed(block.text)));
    begin(block.place);
    if (sections_.back().heading.empty())
      add({Block::Kind::paragraph, 0, block.text, block.place});  // too long
  }

  /// A section under the headings above it; the outer ones are left out if they would take more than half a
  /// chunk.
  void begin(const Place& place) {
    for (size_t first = 0; first <= above_.size(); ++first) {
      std::string heading;
      for (size_t i = first; i < above_.size(); ++i) {
        heading += (heading.empty() ? "" : " > ") + above_[i].second;
      }
      if (!heading.empty() && count_(heading) > options_.max_tokens / 2) continue;
      sections_.push_back({heading, place, {}});
      return;
    }
  }

  const ChunkOptions& options_;
  const CountTokens& count_;
  std::vector<std::pair<int64_t, std::string>> above_;
  std::vector<Section> sections_;
};

std::string joined(std::span<const Sentence> sentences) {
  std::string text;
  for (const Sentence& sentence : sentences) {
    if (sentence.begins_block && !text.empty()) text += text.ends_with('\n') ? "\n" : "\n\n";
    text += sentence.text;
  }
  return std::string(trimmed(text));
}

/// Sentences in a row are a chunk, as many as fit; the next chunk begins with the last of them.
void cut(const Section& section, const ChunkOptions& options, const CountTokens& count,
         std::vector<Chunk>& chunks) {
  const std::span<const Sentence> all = section.sentences;
  size_t begin = 0;
  size_t fresh = 0;  // the first that no chunk has yet
  while (fresh < all.size()) {
    size_t end = fresh;
    int64_t tokens = 0;
    for (size_t i = begin; i < fresh; ++i) tokens += all[i].tokens;
    do {
      tokens += all[end++].tokens;
    } while (end < all.size() && tokens + all[end].tokens <= options.max_tokens);
    Chunk chunk{"", section.heading, joined(all.subspan(begin, end - begin)), {}, 0};
    // The sum says nothing of the heading, nor of how tokens join.
    while ((chunk.tokens = count(full_text(chunk))) > options.max_tokens && end - begin > 1) {
      end > fresh + 1 ? --end : ++begin;
      chunk.text = joined(all.subspan(begin, end - begin));
    }
    chunk.place = all[begin].place;
    chunks.push_back(std::move(chunk));
    int64_t overlap = 0;
    fresh = begin = end;
    while (begin > 0 && overlap + all[begin - 1].tokens <= options.overlap_tokens)
      overlap += all[--begin].tokens;
  }
}

void name_chunks(const std::string& document, std::vector<Chunk>& chunks) {
  std::map<std::string, int64_t> times;
  for (Chunk& chunk : chunks) {
    const std::string contents = dump_json(Json::array({document, chunk.heading, chunk.text}));
    const std::string named = contents + std::to_string(times[contents]++);
    chunk.key = checksum({reinterpret_cast<const uint8_t*>(named.data()), named.size()});
  }
}

}  // namespace

void ChunkOptions::validate() const {
  if (max_tokens < 16) fail("tokens of a chunk: expected at least 16, found ", max_tokens);
  if (overlap_tokens < 0 || overlap_tokens > max_tokens / 2) {
    fail("overlap of chunks: expected 0 to ", max_tokens / 2, " tokens (half a chunk), found ",
         overlap_tokens);
  }
}

int64_t estimate_tokens(std::string_view text) {
  int64_t words = 0;
  for (size_t i = 0; i < text.size(); ++i)
    words += !is_blank(text[i]) && (i == 0 || is_blank(text[i - 1])) ? 1 : 0;
  // Scripts without blanks, and what is no prose, by their length.
  return std::max((words * 3 + 1) / 2, static_cast<int64_t>(text.size() / 8));
}

std::string full_text(const Chunk& chunk) {
  return chunk.heading.empty() ? chunk.text : chunk.heading + "\n" + chunk.text;
}

std::vector<Chunk> make_chunks(const Document& document, const ChunkOptions& options,
                               const CountTokens& count) {
  options.validate();
  const bool repeats_title = std::ranges::any_of(document.blocks, [&](const Block& block) {
    return block.kind == Block::Kind::heading && trimmed(block.text) == trimmed(document.title);
  });
  Sections sections(repeats_title ? "" : std::string(trimmed(document.title)), options, count);
  for (const Block& block : document.blocks) sections.add(block);
  const std::vector<Section> all = sections.take();
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < all.size(); ++i) {
    cut(all[i], options, count, chunks);
    // A heading with nothing under it is a text, too.
    const bool is_outer = i + 1 < all.size() && all[i + 1].heading.starts_with(all[i].heading + " > ");
    if (all[i].sentences.empty() && !is_outer && !all[i].heading.empty()) {
      chunks.push_back({"", "", all[i].heading, all[i].place, count(all[i].heading)});
    }
  }
  name_chunks(document.id, chunks);
  return chunks;
}

}  // namespace rotor::runtime::rag
