// rotor rag list, search, export.
#include <array>
#include <cstdio>
#include <ctime>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/rag/rag_commands.h"
#include "runtime/rag/documents.h"
#include "runtime/retrieval/reranker.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kListExamples =
    "  rotor rag list notes.db\n"
    "  rotor rag list notes.db --filter 'source^=/home/ada/notes/2026' --json\n";
constexpr const char* kSearchExamples =
    "  rotor rag search notes.db \"when do bees swarm\"\n"
    "  rotor rag search notes.db \"E1042\" --mode words --explain\n"
    "  rotor rag search notes.db \"watering\" -n 10 --filter 'year>=2025' --diversity 0.3 --json\n";
constexpr const char* kExportExamples =
    "  rotor rag export notes.db > notes.jsonl\n"
    "  rotor rag export notes.db --vectors --filter team=garden > garden.jsonl\n";

std::string time_text(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm local{};
  std::array<char, 32> text{};
  if (localtime_r(&time, &local) == nullptr) return "?";
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local);
  return text.data();
}

Json document_json(const rag::DocumentRecord& document) {
  return {{"id", document.id},         {"title", document.title},
          {"source", document.source}, {"metadata", document.metadata},
          {"chunks", document.chunks}, {"updated", document.updated}};
}

std::string place_text(const rag::Place& place) {
  if (place.page > 0) return cat(", page ", place.page);
  return place.line > 0 ? cat(", line ", place.line) : "";
}

Json ranked_json(const std::optional<rag::Ranked>& ranked) {
  if (!ranked) return nullptr;
  return {{"rank", ranked->rank}, {"score", ranked->score}};
}

Json found_json(const rag::Found& found, bool explain) {
  const rag::StoredChunk& stored = found.chunk;
  Json json = {{"score", found.score},
               {"document", stored.document.id},
               {"title", stored.document.title},
               {"source", stored.document.source},
               {"heading", stored.chunk.heading},
               {"line", stored.chunk.place.line},
               {"page", stored.chunk.place.page},
               {"text", stored.chunk.text},
               {"metadata", stored.document.metadata}};
  if (explain) {
    json["words"] = ranked_json(found.words);
    json["vectors"] = ranked_json(found.vectors);
    if (found.fused) json["fused"] = *found.fused;
    json["likeness"] = found.likeness;
  }
  return json;
}

std::string explanation(const rag::Found& found) {
  std::string text;
  text += found.words ? tool::format("words: rank %lld, BM25 %.3f", static_cast<long long>(found.words->rank),
                                     found.words->score)
                      : "words: not found";
  text += found.vectors ? tool::format("; vectors: rank %lld, cosine %.3f",
                                       static_cast<long long>(found.vectors->rank), found.vectors->score)
                        : "; vectors: not found";
  if (found.fused) text += tool::format("; fused %.5f", *found.fused);
  if (found.likeness > 0.0) text += tool::format("; cosine with one above %.3f", found.likeness);
  return text;
}

/// A passage, each line indented and safe on a terminal.
void print_indented(const std::string& text) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::printf("   %s\n", tool::printable(text.substr(begin, end - begin)).c_str());
    begin = end + 1;
  }
}

void print_found(const rag::Found& found, size_t number, bool explain) {
  const rag::StoredChunk& stored = found.chunk;
  const std::string& heading = stored.chunk.heading.empty() ? stored.document.title : stored.chunk.heading;
  std::printf("%s%zu. %s\n", number == 1 ? "" : "\n", number, tool::printable(heading).c_str());
  std::printf("   %s%s\n", tool::printable(stored.document.source).c_str(),
              place_text(stored.chunk.place).c_str());
  if (explain) std::printf("   %s\n", explanation(found).c_str());
  print_indented(stored.chunk.text);
}

rag::SearchMode read_mode(const std::string& text) {
  if (text == "hybrid") return rag::SearchMode::hybrid;
  if (text == "words") return rag::SearchMode::words;
  if (text == "vectors") return rag::SearchMode::vectors;
  fail("--mode: expected hybrid, words or vectors, found \"", text, "\"");
}

}  // namespace

int rag_list(int argc, char** argv) {
  cxxopts::Options options(
      "rotor rag list",
      "A line a document: when it came, its passages, its id, its title. With --json an object "
      "a line.");
  options.add_options()("base", "the base: a file, or postgresql://HOST/DATABASE#NAME",
                        cxxopts::value<std::string>())("json", "print JSON");
  add_filter_option(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"base"}, kListExamples);
  if (!parsed) return 0;
  const bool as_json = parsed->count("json") != 0;
  const auto store = retrieval::open_store((*parsed)["base"].as<std::string>(), {});
  tool::catch_interrupts();
  const auto snapshot = store->records();
  int64_t documents = 0;
  int64_t chunks = 0;
  rag::for_each_document(*snapshot, read_filter(*parsed), [&](const rag::DocumentRecord& document) {
    ++documents;
    chunks += document.chunks;
    if (as_json) {
      std::printf("%s\n", dump_json(document_json(document)).c_str());
    } else {
      std::printf("%s  %5lld  %s  %s\n", time_text(document.updated).c_str(),
                  static_cast<long long>(document.chunks), tool::printable(document.id).c_str(),
                  tool::printable(document.title).c_str());
    }
    return !tool::interrupted();
  });
  std::fprintf(stderr, "%s, %s; vectors: %s\n", tool::count_text(documents, "document").c_str(),
               tool::count_text(chunks, "chunk").c_str(),
               store->config().embedder.empty()
                   ? "none (words alone)"
                   : cat(store->config().dimensions, " numbers, ", store->config().embedder).c_str());
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

int rag_search(int argc, char** argv) {
  cxxopts::Options options(
      "rotor rag search",
      "The passages of a base that fit a question best: found by words (BM25) and by vectors,\n"
      "joined by reciprocal rank fusion.");
  add_embedder_options(options);
  add_filter_option(options);
  options.add_options()("base", "the base: a file, or postgresql://HOST/DATABASE#NAME",
                        cxxopts::value<std::string>())("query", "what is looked for",
                                                       cxxopts::value<std::string>())(
      "n,count", "passages", cxxopts::value<int64_t>()->default_value("5"))(
      "mode", "hybrid, words or vectors (default: hybrid if the base has vectors, else words)",
      cxxopts::value<std::string>())("candidates", "passages that each of both searches brings in",
                                     cxxopts::value<int64_t>()->default_value("50"))(
      "words-share", "weight of the words against the vectors, 0 to 1",
      cxxopts::value<double>()->default_value("0.5"))(
      "fusion-k",
      "of reciprocal rank fusion, whose scores are shares of 1/(k + rank): the smaller, the more the first "
      "ranks count",
      cxxopts::value<double>()->default_value("60"))(
      "diversity",
      "0: the best ones, however alike; up to 1: passages that differ (maximal marginal relevance)",
      cxxopts::value<double>()->default_value("0"))("rerank",
                                                    "a language model (.rotor) that orders the best 20 anew, "
                                                    "by how likely it finds the question behind each",
                                                    cxxopts::value<std::string>())(
      "explain", "say where each score comes from")("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"base", "query"}, kSearchExamples);
  if (!parsed) return 0;
  rag::SearchOptions search;
  search.count = (*parsed)["count"].as<int64_t>();
  search.candidates = std::max((*parsed)["candidates"].as<int64_t>(), search.count);
  search.filter = read_filter(*parsed);
  search.words_share = (*parsed)["words-share"].as<double>();
  search.fusion_k = (*parsed)["fusion-k"].as<double>();
  search.diversity = (*parsed)["diversity"].as<double>();
  if (parsed->count("mode") != 0) search.mode = read_mode((*parsed)["mode"].as<std::string>());
  search.validate();
  const bool explain = parsed->count("explain") != 0;

  const auto base = retrieval::open_base((*parsed)["base"].as<std::string>(), read_base_options(*parsed));
  if (parsed->count("mode") == 0 && base->store().config().embedder.empty())
    search.mode = rag::SearchMode::words;
  if (parsed->count("rerank") != 0) {
    LanguageModelOptions model;
    model.threads = read_base_options(*parsed).threads;
    search.rerank =
        retrieval::Reranker(std::make_shared<LanguageModel>((*parsed)["rerank"].as<std::string>(), model));
  }
  const auto found = base->search((*parsed)["query"].as<std::string>(), search);
  if (parsed->count("json") != 0) {
    Json results = Json::array();
    for (const rag::Found& one : found) results.push_back(found_json(one, explain));
    std::printf("%s\n", dump_json(Json{{"results", results}}).c_str());
    return 0;
  }
  for (size_t i = 0; i < found.size(); ++i) print_found(found[i], i + 1, explain);
  if (found.empty()) std::fprintf(stderr, "nothing found\n");
  return 0;
}

int rag_export(int argc, char** argv) {
  cxxopts::Options options(
      "rotor rag export",
      "All of a base as JSON lines: an object a document, with its passages in order (which\n"
      "overlap where the base says so).");
  options.add_options()("base", "the base: a file, or postgresql://HOST/DATABASE#NAME",
                        cxxopts::value<std::string>())("vectors", "with the vectors of passages");
  add_filter_option(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"base"}, kExportExamples);
  if (!parsed) return 0;
  const auto store = retrieval::open_store((*parsed)["base"].as<std::string>(), {});
  const bool with_vectors = parsed->count("vectors") != 0;
  if (with_vectors && store->config().dimensions == 0) fail(store->name(), ": --vectors: this base has none");
  tool::catch_interrupts();
  const auto snapshot = with_vectors ? store->snapshot() : store->records();
  const auto width = static_cast<size_t>(store->config().dimensions);
  rag::for_each_document(*snapshot, read_filter(*parsed), [&](const rag::DocumentRecord& document) {
    Json json = document_json(document);
    json["chunks"] = Json::array();
    const auto chunks = snapshot->chunks_of(document.id);
    std::vector<int64_t> ids;
    for (const rag::StoredChunk& stored : chunks) ids.push_back(stored.id);
    const std::vector<float> vectors = with_vectors ? snapshot->vectors(ids) : std::vector<float>{};
    for (size_t i = 0; i < chunks.size(); ++i) {
      const rag::Chunk& chunk = chunks[i].chunk;
      Json one = {{"key", chunk.key},         {"heading", chunk.heading}, {"text", chunk.text},
                  {"line", chunk.place.line}, {"page", chunk.place.page}, {"tokens", chunk.tokens}};
      if (with_vectors)
        one["vector"] = std::vector<float>(vectors.begin() + static_cast<std::ptrdiff_t>(i * width),
                                           vectors.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
      json["chunks"].push_back(std::move(one));
    }
    std::printf("%s\n", dump_json(json).c_str());
    return std::ferror(stdout) == 0 && !tool::interrupted();
  });
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
