#include "runtime/retrieval/open_base.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "rotor/core/error.h"
#include "runtime/rag/files/origin.h"
#include "runtime/rag/postgres/address.h"
#include "runtime/rag/sqlite/sqlite_store.h"
#include "runtime/retrieval/http_embedder.h"
#include "runtime/retrieval/model_embedder.h"
#ifdef ROTOR_HAS_POSTGRES
#include "runtime/rag/postgres/postgres_store.h"
#endif

namespace rotor::runtime::retrieval {
namespace {

/// The note that says where the embedder was when the base was made.
constexpr const char* kEmbedderNote = "embedder";
constexpr int64_t kUsualTokens = 256;

std::shared_ptr<rag::Embedder> open_embedder(const std::string& name, int64_t threads) {
  if (!is_address(name)) return model_embedder(name, threads);
  const char* key = std::getenv("OPENAI_API_KEY");
  return http_embedder(name, {.key = key == nullptr ? "" : key});
}

/// As it is found again from any folder.
std::string kept_name(const std::string& embedder) {
  return is_address(embedder) ? embedder : rag::absolute_path(embedder);
}

std::string noted_embedder(rag::Store& store) {
  const auto notes = store.notes(kEmbedderNote);
  const auto note = notes.find(kEmbedderNote);
  return note == notes.end() ? "" : note->second;
}

/// A kind of store, by what its bases are called.
struct StoreKind {
  bool (*has)(const std::string& name, const BaseOptions& options);
  void (*create)(const std::string& name, const rag::BaseConfig& config, const BaseOptions& options);
  std::shared_ptr<rag::Store> (*open)(const std::string& name, const BaseOptions& options);
};

constexpr StoreKind kSqlite = {
    [](const std::string& name, const BaseOptions&) { return std::filesystem::exists(name); },
    [](const std::string& name, const rag::BaseConfig& config, const BaseOptions&) {
      rag::create_sqlite_store(name, config);
    },
    [](const std::string& name, const BaseOptions& options) -> std::shared_ptr<rag::Store> {
      return rag::open_sqlite_store(name, {.say = options.say});
    }};

#ifdef ROTOR_HAS_POSTGRES
constexpr StoreKind kPostgres = {
    [](const std::string& name, const BaseOptions& options) {
      return rag::has_postgres_store(name, {.say = options.say});
    },
    [](const std::string& name, const rag::BaseConfig& config, const BaseOptions& options) {
      rag::create_postgres_store(name, config, {.say = options.say});
    },
    [](const std::string& name, const BaseOptions& options) -> std::shared_ptr<rag::Store> {
      return rag::open_postgres_store(name, {.say = options.say});
    }};
#endif

const StoreKind& kind_of(const std::string& name) {
  if (!rag::is_postgres_address(name)) return kSqlite;
#ifdef ROTOR_HAS_POSTGRES
  return kPostgres;
#else
  fail("this program was built without PostgreSQL: configure the build with -DROTOR_POSTGRES=ON");
#endif
}

}  // namespace

bool has_base(const std::string& name, const BaseOptions& options) {
  return kind_of(name).has(name, options);
}

void create_store(const std::string& name, const rag::BaseConfig& config, const BaseOptions& options) {
  kind_of(name).create(name, config, options);
}

std::shared_ptr<rag::Store> open_store(const std::string& name, const BaseOptions& options) {
  return kind_of(name).open(name, options);
}

std::shared_ptr<rag::KnowledgeBase> create_base(const std::string& name, const BaseOptions& options,
                                                rag::ChunkOptions chunks) {
  std::shared_ptr<rag::Embedder> embedder;
  if (!options.embedder.empty()) embedder = open_embedder(options.embedder, options.threads);
  const int64_t most = embedder == nullptr ? chunks.max_tokens : embedder->max_tokens();
  if (chunks.max_tokens == 0)
    chunks.max_tokens = embedder == nullptr ? kUsualTokens : std::min(kUsualTokens, most);
  if (embedder != nullptr && chunks.max_tokens > most) {
    fail(name, ": tokens of a chunk: expected at most ", most, ", which is what ", options.embedder,
         " reads, found ", chunks.max_tokens);
  }
  chunks.overlap_tokens = std::min(chunks.overlap_tokens, chunks.max_tokens / 2);
  create_store(
      name,
      {embedder == nullptr ? "" : embedder->id(), embedder == nullptr ? 0 : embedder->dimensions(), chunks},
      options);
  auto store = open_store(name, options);
  if (embedder != nullptr) store->set_note(kEmbedderNote, kept_name(options.embedder));
  return std::make_shared<rag::KnowledgeBase>(std::move(store), std::move(embedder));
}

std::shared_ptr<rag::KnowledgeBase> open_base(const std::string& name, const BaseOptions& options) {
  auto store = open_store(name, options);
  std::shared_ptr<rag::Embedder> embedder;
  if (store->config().embedder.empty()) {
    if (!options.embedder.empty()) {
      fail(store->name(),
           ": this base has no vectors, it is searched by words alone; expected no embedder, found ",
           options.embedder);
    }
  } else {
    const std::string from = options.embedder.empty() ? noted_embedder(*store) : options.embedder;
    if (from.empty())
      fail(store->name(), ": the base does not say where its embedder is; expected --embedder");
    try {
      embedder = open_embedder(from, options.threads);
    } catch (const Error& error) {
      fail(store->name(), ": cannot open the embedder that this base was made with: ", error.what(),
           "; --embedder says where it is now");
    }
  }
  return std::make_shared<rag::KnowledgeBase>(std::move(store), std::move(embedder));
}

}  // namespace rotor::runtime::retrieval
