// What a base on a server does besides.
#include "runtime/rag/postgres/postgres_store.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "runtime/rag/files/file_sync.h"
#include "runtime/rag/postgres/connection.h"
#include "runtime/retrieval/open_base.h"
#include "tests/rag/postgres/postgres_server.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

class PostgresStoreTest : public BaseFixture {
 protected:
  rag::PostgresResult run(const std::string& sql) {
    rag::PostgresConnection connection(rag::parse_postgres_address(path()));
    return connection.run(sql);
  }
};

TEST_F(PostgresStoreTest, IsNotMadeOverAnything) {
  EXPECT_FALSE(rag::has_postgres_store(path()));
  create();
  EXPECT_TRUE(rag::has_postgres_store(path()));
  expect_error([&] { create(); }, {path(), "exists already"});
  const std::string other = base_name(dir_);
  const std::string schema = other.substr(other.find('#') + 1);
  run("CREATE SCHEMA " + schema);
  expect_error([&] { create_base(other, {}); }, {other, schema, "already exists"});
  EXPECT_FALSE(rag::has_postgres_store(other));
}

TEST_F(PostgresStoreTest, WhatIsNoBaseIsRefused) {
  expect_error([&] { open(); }, {path(), "no such knowledge base"});
  create();
  run("UPDATE base SET value = '2' WHERE name = 'version'");
  expect_error([&] { open(); }, {path(), "version 1", "found 2", "newer"});
  run("DELETE FROM base WHERE name = 'version'");
  expect_error([&] { open(); }, {path(), "expected a number version"});
}

TEST_F(PostgresStoreTest, RefusalsComeAtOnceAndWithoutPasswords) {
  const int port = PostgresServer::instance().port();
  const auto start = std::chrono::steady_clock::now();
  try {
    rag::open_postgres_store(cat("postgresql://ada:secret@127.0.0.1:", port, "/nowhere#x"));
    FAIL() << "there is no such user";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(cat("postgresql://127.0.0.1:", port, "/nowhere#x")), std::string::npos) << message;
    EXPECT_NE(message.find("does not exist"), std::string::npos) << message;
    EXPECT_EQ(message.find("secret"), std::string::npos) << message;
    EXPECT_EQ(message.find("tried"), std::string::npos) << message;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST_F(PostgresStoreTest, WithoutPgvectorItSaysWhatToDo) {
  run("CREATE ROLE plain LOGIN");
  run("CREATE DATABASE bare");
  run("GRANT CREATE ON DATABASE bare TO plain");
  const std::string bare =
      cat("postgresql://plain@127.0.0.1:", PostgresServer::instance().port(), "/bare#facts");
  expect_error(
      [&] {
        create_base(bare, {"words", 64, {}});
      },
      {"/bare#facts", "pgvector", "CREATE EXTENSION vector"});
  EXPECT_FALSE(rag::has_postgres_store(bare));
  create_base(bare, {});  // words need none
  rag::KnowledgeBase base(open_base(bare, {}), nullptr);
  base.put(document_of("a", "Honey."));
  EXPECT_EQ(ids_of(base.search("honey", {})), std::vector<std::string>{"a"});
  expect_error([&] { base.search("honey", {.mode = rag::SearchMode::vectors}); },
               {"/bare#facts", "no vectors"});
}

TEST_F(PostgresStoreTest, TextsMayBeAnything) {
  create();
  const auto store = open();
  rag::KnowledgeBase base(store, std::make_shared<WordEmbedder>());
  const std::string id = "name \xE9\xFF.txt";
  const std::string text = std::string("zero \0 in it, \xC3\x28 no UTF-8, honey", 32);
  const std::string long_value(5000, 'v');
  base.put(document_of(id, text, {{"long", long_value}, {"quote", "it's \"{,}\\"}}));
  const auto snapshot = store->snapshot();
  ASSERT_TRUE(snapshot->document(id));
  EXPECT_EQ(snapshot->document(id)->metadata.at("quote"), "it's \"{,}\\");
  EXPECT_EQ(snapshot->chunks_of(id).at(0).chunk.text, text);
  EXPECT_EQ(ids_of(base.search("honey", {.mode = rag::SearchMode::words})), std::vector<std::string>{id});
  const auto with = [&](const std::string& condition) {
    return snapshot->documents({rag::parse_condition(condition)}, "", 10).size();
  };
  EXPECT_EQ(with("long=" + long_value), 1U);
  EXPECT_EQ(with("long=" + long_value + "x"), 0U);
  EXPECT_EQ(with("long^=" + long_value.substr(0, 300)), 1U);
  EXPECT_EQ(with("quote=it's \"{,}\\"), 1U);
  store->set_note("n\xFF", "text \xFF");
  EXPECT_EQ(store->notes("n").at("n\xFF"), "text \xFF");
}

TEST_F(PostgresStoreTest, WhatIsTooLargeIsTheDocumentsFault) {
  create();
  const auto store = open();
  rag::KnowledgeBase base(store, std::make_shared<WordEmbedder>());
  EXPECT_THROW(base.put(document_of(std::string(2001, 'x'), "Honey.")), rag::DocumentError);
  expect_error([&] { base.put(document_of(std::string(2001, 'x'), "Honey.")); },
               {path(), "2000", "found 2001"});

  // Stems of more than a megabyte in one chunk, which no chunker makes.
  rag::Chunk chunk{"0123456789abcdef", "", "", {1, 0}, 1};
  for (int i = 0; i < 150000; ++i) chunk.text += cat("x", i, "y ");
  const auto put = [&] {
    store->put({"words", "", "", "x", Json::object()}, {&chunk, 1}, {}, std::vector<float>(64));
  };
  EXPECT_THROW(put(), rag::DocumentError);
  expect_error(put, {path(), "tsvector", "in document words"});
  EXPECT_EQ(base.store().records()->documents({}, "", 10).size(), 0U);

  // Files behind such a one are read.
  const std::string folder = rag::absolute_path(dir_.file("notes"));
  std::string deep = folder;
  while (deep.size() <= 2000) deep += "/" + std::string(200, 'n');
  std::filesystem::create_directories(deep);
  // Paths of that length are within what the system takes, 4,096 bytes.
  write_bytes(deep + "/a.txt", "Too long a name.");
  write_bytes(folder + "/z.txt", "Honey.");
  std::string problems;
  rag::FileSync sync(base, {.problem = [&](const std::string& problem) { problems += problem; },
                            .progress = {},
                            .keep_going = {}});
  const rag::SyncCounts counts = sync.sync({folder, std::nullopt, "", Json::object()});
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.added, 1);
  EXPECT_NE(problems.find("at most 2000 bytes"), std::string::npos) << problems;
}

TEST_F(PostgresStoreTest, SettlingChangesNoResult) {
  create();
  const auto store = open();
  rag::KnowledgeBase base(store, std::make_shared<WordEmbedder>());
  for (int i = 0; i < 1100; ++i)
    base.put(document_of("d" + std::to_string(i), "Honey of jar" + std::to_string(i % 7)));
  EXPECT_LT(run("SELECT count(*) FROM totals").integer(0, 0), 300) << "they become one now and then";
  const auto found = [&] {
    const auto hits = store->snapshot()->match_words("honey jar3", 50, {});
    return std::vector<double>{static_cast<double>(hits.size()), hits.front().score, hits.back().score};
  };
  const std::vector<double> before = found();
  store->settle();
  EXPECT_EQ(said_, "");
  EXPECT_EQ(run("SELECT count(*) FROM totals").integer(0, 0), 1);
  EXPECT_EQ(found(), before);
  expect_sound(path());
}

TEST_F(PostgresStoreTest, IsOpenedByItsAddress) {
  namespace retrieval = runtime::retrieval;
  EXPECT_FALSE(retrieval::has_base(path(), {}));
  const auto made = retrieval::create_base(path(), {}, {.max_tokens = 0});
  made->put(document_of("bees", "Bees make honey."));
  EXPECT_TRUE(retrieval::has_base(path(), {}));
  expect_error([&] { retrieval::create_base(path(), {}, {}); }, {path(), "exists already"});
  const auto base = retrieval::open_base(path(), {});
  EXPECT_EQ(ids_of(base->search("honey", {.mode = rag::SearchMode::words})),
            std::vector<std::string>{"bees"});
  expect_error([&] { retrieval::open_base(path(), {.embedder = "some.rotor", .threads = 1, .say = {}}); },
               {path(), "words alone", "some.rotor"});
}

}  // namespace
}  // namespace rotor::test
