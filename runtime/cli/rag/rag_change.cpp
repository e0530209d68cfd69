// rotor rag add, update, remove.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/rag/rag_commands.h"
#include "runtime/rag/documents.h"
#include "runtime/rag/files/file_sync.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kAddExamples =
    "  rotor rag add notes.db ~/notes --embedder minilm.rotor      a folder, with all below it\n"
    "  rotor rag add notes.db manual.pdf faq.html                  more; the base knows its embedder\n"
    "  rotor rag add words.db ~/notes                              a new base for searches by words alone\n"
    "  rotor rag add notes.db log.txt --meta team=garden --meta year=2026\n"
    "  rotor rag add wiki.db simplewiki-pages-articles.xml.bz2 --embedder http://127.0.0.1:8080/v1\n"
    "  rotor rag add postgresql://ada@db.example/facts#notes ~/notes --embedder minilm.rotor   on a server\n";
constexpr const char* kUpdateExamples =
    "  rotor rag update notes.db               all files and folders that were added\n"
    "  rotor rag update notes.db ~/notes/2026  what is below this one\n";
constexpr const char* kRemoveExamples =
    "  rotor rag remove notes.db ~/notes/old            all documents of a file or folder\n"
    "  rotor rag remove notes.db articles.jsonl#17      one document, by its id in rotor rag list\n"
    "  rotor rag remove notes.db --filter 'year<2020'\n";

/// Work on files, with a bar.
class Work {
 public:
  Work(const char* label, std::shared_ptr<rag::KnowledgeBase> base, int64_t bytes)
      : base_(std::move(base)), progress_(label, std::max<int64_t>(bytes, 1)) {
    tool::catch_interrupts();
  }

  rag::SyncEvents events() {
    return {.problem =
                [](const std::string& problem) {
                  std::fprintf(stderr, "not taken: %s\n", tool::printable(problem).c_str());
                },
            .progress =
                [this](int64_t bytes, const rag::SyncCounts& counts) {
                  rag::SyncCounts all = counts_;
                  all += counts;
                  progress_.update(
                      bytes, cat(tool::count_text(all.added + all.updated + all.unchanged, "document"), ", ",
                                 tool::duration_text(progress_.remaining_seconds(bytes)), " left"));
                },
            .keep_going = [] { return !tool::interrupted(); }};
  }
  void count(const rag::SyncCounts& counts) { counts_ += counts; }

  /// Says what was done, and returns the program's status.
  int finish(bool as_json) {
    if (counts_.changes() > 0) base_->store().settle();
    const rag::StoreStatistics now = base_->store().records()->statistics();
    progress_.finish(cat(counts_.added, " added, ", counts_.updated, " updated, ", counts_.unchanged,
                         " unchanged, ", counts_.removed, " removed, ", counts_.failed, " not taken; ",
                         base_->store().name(), " holds ", tool::count_text(now.documents, "document"),
                         " in ", tool::count_text(now.chunks, "chunk"), ", ",
                         tool::bytes_text(static_cast<double>(now.bytes))));
    if (as_json) {
      const Json json = {{"added", counts_.added},
                         {"updated", counts_.updated},
                         {"unchanged", counts_.unchanged},
                         {"removed", counts_.removed},
                         {"failed", counts_.failed},
                         {"documents", now.documents},
                         {"chunks", now.chunks},
                         {"bytes", now.bytes},
                         {"seconds", progress_.elapsed_seconds()}};
      std::printf("%s\n", dump_json(json).c_str());
    }
    if (tool::interrupted()) {
      std::fprintf(stderr, "interrupted: what is done is kept; the same command goes on from there\n");
      return tool::kInterruptedStatus;
    }
    return counts_.failed == 0 ? 0 : 1;
  }

 private:
  std::shared_ptr<rag::KnowledgeBase> base_;
  tool::Progress progress_;
  rag::SyncCounts counts_;
};

int64_t bytes_of(const std::vector<rag::Origin>& origins) {
  int64_t bytes = 0;
  for (const rag::Origin& origin : origins) {
    if (!std::filesystem::exists(origin.path)) continue;
    for (const std::string& file : rag::files_of(origin)) bytes += rag::size_of(file);
  }
  return bytes;
}

/// "year=2026": a number; "team=garden": a text.
Json read_metadata(const std::vector<std::string>& settings) {
  Json metadata = Json::object();
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == 0 || equals == std::string::npos)
      fail("--meta: expected NAME=VALUE, found \"", setting, "\"");
    const std::string value = setting.substr(equals + 1);
    const auto number = rag::as_number(value);
    metadata[setting.substr(0, equals)] = number ? Json(*number) : Json(value);
  }
  return metadata;
}

std::vector<rag::Origin> read_origins(const cxxopts::ParseResult& parsed) {
  std::vector<rag::Origin> origins;
  for (const std::string& path : parsed["path"].as<std::vector<std::string>>()) {
    rag::Origin origin;
    origin.path = rag::absolute_path(path);
    if (!std::filesystem::exists(origin.path)) fail(path, ": no such file or folder");
    if (parsed.count("kind") != 0) origin.kind = rag::file_kind(parsed["kind"].as<std::string>());
    origin.encoding = parsed["encoding"].as<std::string>();
    if (parsed.count("meta") != 0)
      origin.metadata = read_metadata(parsed["meta"].as<std::vector<std::string>>());
    origins.push_back(std::move(origin));
  }
  return origins;
}

std::shared_ptr<rag::KnowledgeBase> open_or_create(const cxxopts::ParseResult& parsed) {
  const auto name = parsed["base"].as<std::string>();
  const retrieval::BaseOptions options = read_base_options(parsed);
  if (retrieval::has_base(name, options)) {
    for (const char* option : {"chunk-tokens", "overlap"}) {
      if (parsed.count(option) != 0) {
        fail("--", option,
             ": the base is there already, and its documents are cut as was decided when it was made");
      }
    }
    return retrieval::open_base(name, options);
  }
  rag::ChunkOptions chunks;
  chunks.max_tokens = parsed["chunk-tokens"].as<int64_t>();
  chunks.overlap_tokens = parsed["overlap"].as<int64_t>();
  return retrieval::create_base(name, options, chunks);
}

/// The base's origins that are at or below `paths`, or what of them is; all if there are none.
std::vector<rag::Origin> chosen_origins(rag::Store& store, const std::vector<std::string>& paths) {
  std::vector<rag::Origin> all = rag::origins(store);
  if (all.empty()) fail(store.name(), ": no files or folders were added to this base");
  if (paths.empty()) return all;
  std::vector<rag::Origin> chosen;
  for (const std::string& given : paths) {
    const std::string path = rag::absolute_path(given);
    const size_t before = chosen.size();
    for (const rag::Origin& origin : all) {
      if (rag::is_within(origin.path, path)) {
        chosen.push_back(origin);
      } else if (rag::is_within(path, origin.path)) {
        chosen.push_back(origin);
        chosen.back().path = path;
      }
    }
    if (chosen.size() == before)
      fail(store.name(), ": ", given, " is in no file or folder that was added; `rotor rag add` adds it");
  }
  return chosen;
}

}  // namespace

int rag_add(int argc, char** argv) {
  cxxopts::Options options("rotor rag add",
                           "Takes files and folders into a knowledge base, which is made if it is not there. "
                           "Known files are plain\n"
                           "text, Markdown, HTML, PDF (by pdftotext), JSON lines "
                           "({\"id\":...,\"title\":...,\"text\":...}) and dumps of\n"
                           "Wikipedia (.xml.bz2). What is in the base already is replaced where it changed. "
                           "The base notes what was\n"
                           "added: `rotor rag update` does the same again.");
  add_embedder_options(options);
  options.add_options()("base", "the base: a file, or postgresql://HOST/DATABASE#NAME",
                        cxxopts::value<std::string>())("path", "files and folders",
                                                       cxxopts::value<std::vector<std::string>>())(
      "kind", "what the files are, whatever their names: text, markdown, html, pdf, jsonl, wikipedia",
      cxxopts::value<std::string>())("encoding", "of texts that are not UTF-8 (default: what it looks like)",
                                     cxxopts::value<std::string>()->default_value(""))(
      "meta", "NAME=VALUE that each document gets, for --filter", cxxopts::value<std::vector<std::string>>())(
      "chunk-tokens", "of a new base: most tokens of a passage (default: 256, or what the embedder reads)",
      cxxopts::value<int64_t>()->default_value("0"))(
      "overlap", "of a new base: tokens that a passage shares with the one before it",
      cxxopts::value<int64_t>()->default_value("32"))("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"base", "path"}, kAddExamples);
  if (!parsed) return 0;
  const std::vector<rag::Origin> origins = read_origins(*parsed);
  const auto base = open_or_create(*parsed);
  Work work("add", base, bytes_of(origins));
  rag::FileSync sync(*base, work.events());
  for (const rag::Origin& origin : origins) {
    if (tool::interrupted()) break;
    rag::keep_origin(base->store(), origin);
    work.count(sync.sync(origin));
  }
  return work.finish(parsed->count("json") != 0);
}

int rag_update(int argc, char** argv) {
  cxxopts::Options options(
      "rotor rag update",
      "Reads the files and folders again that were added to a base: takes in what is new there,\n"
      "replaces what changed, removes what is gone. Passages that stayed keep their vectors.");
  add_embedder_options(options);
  options.add_options()("base", "the base: a file, or postgresql://HOST/DATABASE#NAME",
                        cxxopts::value<std::string>())(
      "path", "only these files and folders", cxxopts::value<std::vector<std::string>>())("json",
                                                                                          "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"base"}, kUpdateExamples, {"path"});
  if (!parsed) return 0;
  const auto base = retrieval::open_base((*parsed)["base"].as<std::string>(), read_base_options(*parsed));
  const bool has_paths = parsed->count("path") != 0;
  const auto origins =
      chosen_origins(base->store(), has_paths ? (*parsed)["path"].as<std::vector<std::string>>()
                                              : std::vector<std::string>{});
  Work work("update", base, bytes_of(origins));
  rag::FileSync sync(*base, work.events());
  for (const rag::Origin& origin : origins) {
    if (tool::interrupted()) break;
    work.count(has_paths ? sync.sync_within(origin, origin.path) : sync.sync(origin));
  }
  return work.finish(parsed->count("json") != 0);
}

int rag_remove(int argc, char** argv) {
  cxxopts::Options options(
      "rotor rag remove",
      "Takes documents out of a base: by id, by file or folder, or by a filter. A file below a\n"
      "folder that was added comes back with the next update, unless it is gone or moved.");
  options.add_options()("base", "the base: a file, or postgresql://HOST/DATABASE#NAME",
                        cxxopts::value<std::string>())(
      "name", "ids of documents, files, folders", cxxopts::value<std::vector<std::string>>())("json",
                                                                                              "print JSON");
  add_filter_option(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"base"}, kRemoveExamples, {"name"});
  if (!parsed) return 0;
  const rag::Filter filter = read_filter(*parsed);
  if ((parsed->count("name") != 0) == !filter.empty())
    throw tool::UsageError("expected either names or --filter; see rotor rag remove --help");
  retrieval::BaseOptions base_options;
  const auto store = retrieval::open_store((*parsed)["base"].as<std::string>(), base_options);
  int64_t removed = 0;
  const auto remove_all = [&](const rag::Filter& wanted) {
    int64_t found = 0;
    rag::for_each_document(*store, wanted, [&](const rag::DocumentRecord& document) {
      if (tool::interrupted()) return false;
      found += store->remove(document.id) ? 1 : 0;
      return true;
    });
    return found;
  };
  tool::catch_interrupts();
  if (!filter.empty()) removed = remove_all(filter);
  if (parsed->count("name") != 0) {
    for (const std::string& name : (*parsed)["name"].as<std::vector<std::string>>()) {
      const std::string path = rag::absolute_path(name);
      int64_t found = store->remove(name) ? 1 : 0;
      if (found == 0) found += store->remove(path) ? 1 : 0;
      for (const char* behind : {"/", "#"})
        found += remove_all({{"id", rag::Condition::Relation::begins_with, path + behind}});
      const bool was_origin = rag::forget_origin(*store, path);
      if (found == 0 && !was_origin)
        fail(store->name(), ": expected a document, file or folder that is in it, found ", name);
      removed += found;
    }
  }
  if (removed > 0) store->settle();
  std::fprintf(stderr, "%s removed\n", tool::count_text(removed, "document").c_str());
  if (parsed->count("json") != 0) std::printf("%s\n", dump_json(Json{{"removed", removed}}).c_str());
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
