// What a file is, and files that are none: folders, pipes, what vanishes.
#include <sys/stat.h>

#include <chrono>

#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

using rag::FileKind;

class ReaderFiles : public ReaderTest {};

TEST_F(ReaderFiles, NamesSayKinds) {
  EXPECT_EQ(rag::kind_by_name("a/b.TXT"), FileKind::text);
  EXPECT_EQ(rag::kind_by_name("README.md"), FileKind::markdown);
  EXPECT_EQ(rag::kind_by_name("x.y.htm"), FileKind::html);
  EXPECT_EQ(rag::kind_by_name("paper.PDF"), FileKind::pdf);
  EXPECT_EQ(rag::kind_by_name("rows.jsonl"), FileKind::json_lines);
  EXPECT_EQ(rag::kind_by_name("dewiki-20260101-pages-articles1.xml-p1p2.bz2"), std::nullopt);
  EXPECT_EQ(rag::kind_by_name("dewiki-20260101-pages-articles.xml.bz2"), FileKind::wikipedia);
  EXPECT_EQ(rag::kind_by_name("dewiki-20260101-pages-articles.xml"), FileKind::wikipedia);
  EXPECT_EQ(rag::kind_by_name("config.xml"), std::nullopt);
  EXPECT_EQ(rag::kind_by_name("folder.md/LICENSE"), std::nullopt);
  for (const char* kind : {"text", "markdown", "html", "pdf", "jsonl", "wikipedia"})
    EXPECT_STREQ(rag::name(rag::file_kind(kind)), kind);
  expect_error([] { rag::file_kind("word"); }, {"kind of file", "text, markdown, html", "\"word\""});
}

TEST_F(ReaderFiles, ContentsSayWhatNamesDoNot) {
  EXPECT_EQ(read_bytes_as("page", "\n<!DOCTYPE html><title>Bees</title><p>They fly.").title, "Bees");
  EXPECT_EQ(outline(read_bytes_as("notes", "# no heading")), "p@1 # no heading\n");
  expect_error([&] { read_bytes_as("paper", "%PDF-1.4\n"); }, {"paper: the PDF cannot be read"});
  // A kind that is asked for wins.
  EXPECT_EQ(outline(read_bytes_as("a.txt", "# Bees", {.kind = FileKind::markdown})), "h1@1 Bees\n");
}

TEST_F(ReaderFiles, DocumentsKnowTheirFile) {
  const rag::Document document = read_bytes_as("field notes.txt", "One.\n");
  EXPECT_EQ(document.id, dir_.file("field notes.txt"));
  EXPECT_EQ(document.source, document.id);
  EXPECT_EQ(document.title, "field notes");
}

TEST_F(ReaderFiles, EmptyFilesAreEmptyDocuments) {
  for (const char* name : {"e.txt", "e.md", "e.html", "e"})
    EXPECT_TRUE(read_bytes_as(name, "").blocks.empty());
  EXPECT_TRUE(read_bytes_as("blank.txt", " \n\t\n").blocks.empty());
  EXPECT_TRUE(read_all(write("e.jsonl", "")).empty());
  expect_error([&] { read_bytes_as("e.pdf", ""); }, {"e.pdf: expected a PDF, found an empty file"});
  expect_error([&] { read_all(write("e.xml.bz2", "")); }, {"e.xml.bz2", "no element found"});
}

TEST_F(ReaderFiles, WhatIsNoFileIsRefusedAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  for (const char* ending : {"", ".txt", ".md", ".html", ".pdf", ".jsonl", ".xml.bz2"}) {
    const std::string missing = dir_.file(cat("missing", ending));
    expect_error([&] { read_all(missing); }, {missing, "No such file"});
    const std::string folder = dir_.file(cat("folder", ending));
    std::filesystem::create_directory(folder);
    expect_error([&] { read_all(folder); }, {folder, "expected a file, found a folder"});
    const std::string pipe = dir_.file(cat("pipe", ending));
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    expect_error([&] { read_all(pipe); }, {pipe, "expected a file, found a pipe"});
  }
  expect_error([] { read_all("/dev/null"); }, {"/dev/null", "device"});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(ReaderFiles, LinksThatLeadNowhereSayWhy) {
  std::filesystem::create_symlink(dir_.file("gone.txt"), dir_.file("link.txt"));
  expect_error([&] { read(dir_.file("link.txt")); }, {"link.txt: cannot open: No such file"});
  std::filesystem::create_symlink(dir_.file("loop.txt"), dir_.file("loop.txt"));
  expect_error([&] { read(dir_.file("loop.txt")); },
               {"loop.txt: cannot open: Too many levels of symbolic links"});
}

TEST_F(ReaderFiles, FilesThatBecomeShorterWhileTheyAreReadSaySo) {
  std::string rows;
  for (int i = 0; i < 20000; ++i) rows += cat(R"({"text": "row )", i, "\"}\n");
  const std::string path = write("rows.jsonl", rows);
  int64_t count = 0;
  const auto cut = [&](const rag::Document&) {
    if (++count == 10) std::filesystem::resize_file(path, 0);
    return true;
  };
  expect_error([&] { rag::read_documents(path, {}, cut); }, {"rows.jsonl: expected ", "became shorter"});
  EXPECT_LT(count, 20000);
}

TEST_F(ReaderFiles, ProgressEndsAtTheSize) {
  for (const char* name : {"a.txt", "a.jsonl"}) {
    const std::string path = write(name, "{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\n");
    int64_t last = -1;
    read_all(path, {.progress = [&](int64_t done, int64_t all) {
               EXPECT_GE(done, last);
               EXPECT_EQ(all, 34);
               last = done;
             }});
    EXPECT_EQ(last, 34);
  }
}

}  // namespace
}  // namespace rotor::test
