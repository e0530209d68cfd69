// Equality with the library holds because each step is the same function: normalizing; for unigram, the best
// path by sums of float32 from the start of the text, in the same order and with the same ties; for BPE,
// merges whose order in one word does not depend on other words, since no piece lies across a cut. Tests
// compare.
#include "rotor/text/sentencepiece_encoder.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

using Kind = SentencePieceModel::Kind;
using Type = SentencePieceModel::Type;

bool is_in_trie(Kind kind) {
  return kind == Kind::normal || kind == Kind::user_defined;
}

PieceTrie trie_of(const SentencePieceModel& model, bool (*is_in)(Kind)) {
  std::vector<std::pair<std::string_view, int32_t>> keys;
  keys.reserve(model.pieces.size());
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (is_in(piece.kind) && !piece.text.empty()) keys.emplace_back(piece.text, static_cast<int32_t>(id));
  }
  return PieceTrie(std::move(keys));
}

/// Bytes of a character by its first one.
size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(length, text.size());
}

}  // namespace

/// Ids as they come; unknown pieces become bytes, or one <unk> for each run of them.
class SentencePieceEncoder::Output {
 public:
  Output(const SentencePieceEncoder& encoder, std::vector<TokenId>& ids) : encoder_(&encoder), ids_(&ids) {}

  void add(std::string_view piece, TokenId id) {
    if (id == encoder_->unknown_ && encoder_->model_.byte_fallback) {
      for (const char byte : piece) ids_->push_back(encoder_->byte_ids_[static_cast<uint8_t>(byte)]);
    } else if (id != encoder_->unknown_ || ids_->empty() || ids_->back() != id) {
      ids_->push_back(id);
    }
  }
  /// Ids that another Output made of a word.
  void add(std::span<const TokenId> word) {
    const bool goes_on = !ids_->empty() && !word.empty() && word[0] == encoder_->unknown_ &&
                         ids_->back() == encoder_->unknown_;
    ids_->insert(ids_->end(), word.begin() + (goes_on ? 1 : 0), word.end());
  }

 private:
  const SentencePieceEncoder* encoder_;
  std::vector<TokenId>* ids_;
};

/// The most probable pieces (Viterbi). Scores are summed in float32 over the whole text, as the library does:
/// another order of the same sums would break ties in another way.
class SentencePieceEncoder::Unigram {
 public:
  explicit Unigram(const SentencePieceEncoder& encoder) : encoder_(encoder) {}

  /// The part of a text between two cuts.
  void encode(std::string_view text, Output& output) {
    best_.assign(text.size() + 1, {});
    best_[0].score = score_;
    const PieceTrie& trie = encoder_.pieces_;
    for (size_t start = 0; start < text.size();) {
      const float so_far = best_[start].score;
      const size_t length = character_bytes(text.substr(start));
      bool has_character = false;
      uint32_t node = PieceTrie::kRoot;
      for (size_t end = start; end < text.size();) {
        node = trie.child(node, static_cast<uint8_t>(text[end]));
        if (node == PieceTrie::kNone) break;
        ++end;
        const int32_t id = trie.value(node);
        if (id < 0) continue;
        offer(start, end, encoder_.scores_[static_cast<size_t>(id)] + so_far, id);
        if (end - start == length) has_character = true;
      }
      if (!has_character) {
        offer(start, start + length, static_cast<float>(encoder_.unknown_score_) + so_far, encoder_.unknown_);
      }
      start += length;
    }
    score_ = best_.back().score;
    path_.clear();
    for (size_t end = text.size(); end > 0; end = best_[end].start) path_.push_back(end);
    for (size_t i = path_.size(); i-- > 0;) {
      const Best& best = best_[path_[i]];
      output.add(text.substr(best.start, path_[i] - best.start), best.id);
    }
  }

 private:
  struct Best {
    float score = 0.0F;
    TokenId id = -1;  // none ends here yet
    size_t start = 0;
  };

  void offer(size_t start, size_t end, double score, TokenId id) {
    Best& best = best_[end];
    if (best.id < 0 || score > static_cast<double>(best.score)) best = {static_cast<float>(score), id, start};
  }

  const SentencePieceEncoder& encoder_;
  float score_ = 0.0F;
  std::vector<Best> best_;
  std::vector<size_t> path_;
};

/// Merges neighbours to the piece of highest score, the leftmost of equals, until none is left.
class SentencePieceEncoder::Bpe {
 public:
  explicit Bpe(const SentencePieceEncoder& encoder) : encoder_(encoder) {}

  /// The part of a text between two cuts; `text` is kept until the next one that differs.
  void encode(std::string_view text, Output& output) {
    if (text.size() > kMaxWordBytes) {
      merge(text);
      write(output);
      return;
    }
    if (words_.size() >= kMaxWords) {
      words_.clear();
      memory_.clear();
    }
    const auto [entry, is_new] = words_.try_emplace(text);
    Word& word = entry->second;
    if (is_new) {
      std::vector<TokenId> ids;
      Output word_output(encoder_, ids);
      merge(text);
      write(word_output);
      word = {static_cast<uint32_t>(memory_.size()), static_cast<uint32_t>(ids.size())};
      memory_.insert(memory_.end(), ids.begin(), ids.end());
    }
    output.add(std::span(memory_).subspan(word.begin, word.count));
  }

 private:
  static constexpr size_t kMaxWordBytes = 256;
  static constexpr size_t kMaxWords = size_t{1} << 17;
  static constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();

  struct Word {
    uint32_t begin = 0, count = 0;  // in memory_
  };
  struct Symbol {
    uint32_t previous, next;
    bool user_defined;  // never merged
    std::string_view piece;
  };
  struct Candidate {
    float score;
    uint32_t left, right;
    size_t size;  // when it was made: outdated if either was merged since
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };

  void offer(uint32_t left, uint32_t right) {
    if (left == kEnd || right == kEnd || symbols_[left].user_defined || symbols_[right].user_defined) return;
    const std::string_view first = symbols_[left].piece;
    const std::string_view piece(first.data(), first.size() + symbols_[right].piece.size());
    const auto it = encoder_.ids_.find(piece);
    if (it == encoder_.ids_.end()) return;
    const auto& entry = encoder_.model_.pieces[static_cast<size_t>(it->second)];
    if (is_in_trie(entry.kind)) heap_.push({entry.score, left, right, piece.size()});
  }

  void merge(std::string_view text) {
    if (text.size() >= kEnd) fail("cannot tokenize a word of ", text.size(), " bytes");
    symbols_.clear();
    while (!text.empty()) {
      const auto index = static_cast<uint32_t>(symbols_.size());
      bool user_defined = false;
      const size_t length = encoder_.symbol_bytes(text, user_defined);
      symbols_.push_back({index == 0 ? kEnd : index - 1, length == text.size() ? kEnd : index + 1,
                          user_defined, text.substr(0, length)});
      text.remove_prefix(length);
    }
    for (uint32_t i = 1; i < symbols_.size(); ++i) offer(i - 1, i);
    while (!heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      Symbol& left = symbols_[best.left];
      Symbol& right = symbols_[best.right];
      if (left.piece.empty() || right.piece.empty() || left.piece.size() + right.piece.size() != best.size)
        continue;
      left.piece = {left.piece.data(), best.size};
      left.next = right.next;
      if (left.next != kEnd) symbols_[left.next].previous = best.left;
      right.piece = {};
      offer(left.previous, best.left);
      offer(best.left, left.next);
    }
  }

  void write(Output& output) const {
    for (uint32_t i = symbols_.empty() ? kEnd : 0; i != kEnd; i = symbols_[i].next)
      output.add(symbols_[i].piece, encoder_.id_of(symbols_[i].piece));
  }

  const SentencePieceEncoder& encoder_;
  std::unordered_map<std::string_view, Word> words_;
  std::vector<TokenId> memory_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> heap_;
};

std::unique_ptr<const SentencePieceEncoder> SentencePieceEncoder::make(SentencePieceModel model) {
  if (model.type != Type::unigram && model.type != Type::bpe && model.type != Type::character) return nullptr;
  for (const auto& piece : model.pieces) {
    // The library takes an unused piece apart again by the last merge that made it, wherever that was.
    if (piece.text.empty() || (piece.kind == Kind::unused && model.type == Type::bpe)) return nullptr;
  }
  std::unique_ptr<const SentencePieceEncoder> encoder(new SentencePieceEncoder(std::move(model)));
  return encoder->ids_.size() == encoder->model_.pieces.size() ? std::move(encoder) : nullptr;
}

SentencePieceEncoder::SentencePieceEncoder(SentencePieceModel model)
    : model_(std::move(model)),
      pieces_(model_.type == Type::unigram ? trie_of(model_, is_in_trie) : PieceTrie({})),
      user_defined_(trie_of(model_, [](Kind kind) { return kind == Kind::user_defined; })),
      normalizer_(model_, user_defined_) {
  float least = std::numeric_limits<float>::max();
  float most = std::numeric_limits<float>::min();  // the library's choice: above 0
  ids_.reserve(model_.pieces.size());
  for (size_t i = 0; i < model_.pieces.size(); ++i) {
    const auto& piece = model_.pieces[i];
    const auto id = static_cast<TokenId>(i);
    ids_.emplace(piece.text, id);
    if (piece.kind == Kind::unknown) unknown_ = id;
    if (piece.kind != Kind::normal) continue;
    least = std::min(least, piece.score);
    most = std::max(most, piece.score);
  }
  constexpr float kUnknownPenalty = 10.0F;
  unknown_score_ = least - kUnknownPenalty;
  scores_.reserve(model_.pieces.size());
  for (const auto& piece : model_.pieces) {
    // A user-defined piece always wins.
    scores_.push_back(piece.kind == Kind::user_defined
                          ? static_cast<double>(static_cast<float>(piece.text.size()) * most) - 0.1
                          : piece.score);
  }
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    static constexpr std::string_view kDigits = "0123456789ABCDEF";
    byte_ids_[byte] = id_of(cat("<0x", kDigits[byte >> 4], kDigits[byte & 15], ">"));
  }
  find_cuts();
}

void SentencePieceEncoder::find_cuts() {
  cut_at_spaces_ = true;
  isolated_.fill(true);
  for (const auto& [text, score, kind] : model_.pieces) {
    if (!is_in_trie(kind)) continue;
    std::string_view rest = text;
    while (rest.starts_with(kSpaceSymbol)) rest.remove_prefix(kSpaceSymbol.size());
    if (rest.find(kSpaceSymbol) != std::string_view::npos) cut_at_spaces_ = false;
    if (text.find_first_not_of(text[0]) == std::string::npos) continue;
    for (const char byte : text) isolated_[static_cast<uint8_t>(byte)] = false;
  }
  std::fill(isolated_.begin() + 0x80, isolated_.end(), false);
}

size_t SentencePieceEncoder::next_cut(std::string_view text, size_t from) const {
  const auto isolated = [&](size_t i) { return isolated_[static_cast<uint8_t>(text[i])]; };
  for (size_t i = from + 1; i < text.size(); ++i) {
    if (text[i] != text[i - 1] && (isolated(i) || isolated(i - 1))) return i;
    if (cut_at_spaces_ && text[i] == kSpaceSymbol[0] && text.substr(i).starts_with(kSpaceSymbol) &&
        !text.substr(0, i).ends_with(kSpaceSymbol))
      return i;
  }
  return text.size();
}

TokenId SentencePieceEncoder::id_of(std::string_view piece) const {
  const auto it = ids_.find(piece);
  return it == ids_.end() ? unknown_ : it->second;
}

size_t SentencePieceEncoder::symbol_bytes(std::string_view text, bool& user_defined) const {
  const size_t length = user_defined_.longest_prefix(text);
  user_defined = length > 0;
  return user_defined ? length : character_bytes(text);
}

void SentencePieceEncoder::encode_characters(std::string_view text, Output& output) const {
  for (bool ignored = false; !text.empty();) {
    const std::string_view symbol = text.substr(0, symbol_bytes(text, ignored));
    output.add(symbol, id_of(symbol));
    text.remove_prefix(symbol.size());
  }
}

std::vector<TokenId> SentencePieceEncoder::encode(std::string_view text) const {
  const std::string normalized = normalizer_.normalize(text);
  std::vector<TokenId> ids;
  Output output(*this, ids);
  if (model_.type == Type::character) {
    encode_characters(normalized, output);
    return ids;
  }
  Unigram unigram(*this);
  Bpe bpe(*this);
  for (size_t begin = 0; begin < normalized.size();) {
    const size_t end = next_cut(normalized, begin);
    const std::string_view part = std::string_view(normalized).substr(begin, end - begin);
    if (model_.type == Type::unigram) {
      unigram.encode(part, output);
    } else {
      bpe.encode(part, output);
    }
    begin = end;
  }
  return ids;
}

}  // namespace rotor::text
