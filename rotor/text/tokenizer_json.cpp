// The parts that both kinds share, and the model of each. Reference: huggingface/tokenizers (Rust), and the
// conversion of SentencePiece models in transformers, convert_slow_tokenizer.py.
#include "rotor/text/tokenizer_json.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "rotor/core/error.h"
#include "rotor/text/bpe_letters.h"
#include "rotor/text/stream_decoder.h"

namespace rotor::text {
namespace {

/// Puts a token in front of each text: of the first and of the second of a pair.
Json post_processor(const TextBegin& begin) {
  if (!begin) return {};
  const auto& [bos, id] = *begin;
  const auto special = [&name = bos](int type) {
    return Json{{"SpecialToken", {{"id", name}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  return {
      {"type", "TemplateProcessing"},
      {"single", Json::array({special(0), sequence("A", 0)})},
      {"pair", Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
      {"special_tokens", {{bos, {{"id", bos}, {"ids", Json::array({id})}, {"tokens", Json::array({bos})}}}}}};
}

Json added_token(TokenId id, const std::string& text, bool special) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

Json whole(Json added, Json normalizer, Json pre_tokenizer, const TextBegin& begin, Json decoder,
           Json model) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"post_processor", post_processor(begin)},
          {"decoder", std::move(decoder)},
          {"model", std::move(model)}};
}

Json bpe_model(Json unknown, bool byte_fallback, bool ignore_merges, Json vocab, Json merges) {
  const bool fuse_unknown = !unknown.is_null();
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", std::move(unknown)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", fuse_unknown},
          {"byte_fallback", byte_fallback},
          {"ignore_merges", ignore_merges},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

Json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

/// Every split of a piece into two, from the highest score of the piece down, as SentencePiece merges: pairs
/// of texts, since pieces may hold spaces.
Json sentencepiece_merges(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, TokenId> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].kind == SentencePieceModel::Kind::normal)
      ids.emplace(model.pieces[id].text, static_cast<TokenId>(id));
  }
  std::vector<std::tuple<float, TokenId, TokenId, TokenId>> merges;  // -score, result, left, right
  for (const auto& [piece, id] : ids) {
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const auto left = ids.find(piece.substr(0, cut));
      const auto right = ids.find(piece.substr(cut));
      if (left != ids.end() && right != ids.end())
        merges.emplace_back(-model.pieces[static_cast<size_t>(id)].score, id, left->second, right->second);
    }
  }
  std::ranges::sort(merges);
  Json result = Json::array();
  for (const auto& [score, id, left, right] : merges) {
    result.push_back(
        {model.pieces[static_cast<size_t>(left)].text, model.pieces[static_cast<size_t>(right)].text});
  }
  return result;
}

Json sentencepiece_pieces(const SentencePieceModel& model) {
  if (model.type == SentencePieceModel::Type::unigram) {
    Json vocab = Json::array();
    for (const auto& piece : model.pieces) vocab.push_back({piece.text, piece.score});
    return {{"type", "Unigram"},
            {"unk_id", model.find(model.unknown_piece, SentencePieceModel::Kind::unknown)},
            {"byte_fallback", model.byte_fallback},
            {"vocab", std::move(vocab)}};
  }
  Json vocab = Json::object();
  for (size_t id = 0; id < model.pieces.size(); ++id) vocab[model.pieces[id].text] = id;
  return bpe_model(model.unknown_piece, model.byte_fallback, false, std::move(vocab),
                   sentencepiece_merges(model));
}

Json replace(std::string_view what, std::string_view by) {
  return {{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", by}};
}

Json sequence(const char* parts, Json list) {
  return {{"type", "Sequence"}, {parts, std::move(list)}};
}

}  // namespace

Json tokenizer_json(const BpeDefinition& bpe, const TextBegin& begin) {
  const std::vector<std::string> texts = token_texts(bpe);
  Json vocab = Json::object();
  for (size_t id = 0; id < texts.size(); ++id) {
    if (valid_utf8_prefix(texts[id]) != texts[id].size())
      fail("byte-level BPE: the name of special token ", id, " is not valid UTF-8");
    if (!texts[id].empty()) vocab[texts[id]] = id;
  }
  Json merges = Json::array();
  for (const auto& merge : bpe.merges) {
    merges.push_back(texts[static_cast<size_t>(merge.left)] + ' ' + texts[static_cast<size_t>(merge.right)]);
  }
  Json added = Json::array();
  for (const auto& [name, id] : bpe.specials) added.push_back(added_token(id, name, true));
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", bpe.split_pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json normalizer = bpe.normalize_nfc ? Json{{"type", "NFC"}} : Json();
  return whole(std::move(added), normalizer,
               sequence("pretokenizers", Json::array({split, byte_level(false, false)})), begin,
               byte_level(true, true),
               bpe_model({}, false, bpe.ignore_merges, std::move(vocab), std::move(merges)));
}

std::optional<Json> tokenizer_json(const SentencePieceModel& model, const TextBegin& begin) {
  using Kind = SentencePieceModel::Kind;
  if (model.type == SentencePieceModel::Type::word || !model.leaves_texts_alone()) return std::nullopt;
  Json added = Json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    const bool special = piece.kind == Kind::control || piece.kind == Kind::unknown;
    if (special || piece.kind == Kind::user_defined)
      added.push_back(added_token(static_cast<TokenId>(id), piece.text, special));
  }
  Json normalizers = Json::array({replace(" ", kSpaceSymbol)});
  Json decoders = Json::array({replace(kSpaceSymbol, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (model.add_dummy_prefix) {
    const Json prepend = {{"type", "Prepend"}, {"prepend", kSpaceSymbol}};
    normalizers.insert(normalizers.begin(), prepend);
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return whole(std::move(added), sequence("normalizers", std::move(normalizers)), {}, begin,
               sequence("decoders", std::move(decoders)), sentencepiece_pieces(model));
}

}  // namespace rotor::text
