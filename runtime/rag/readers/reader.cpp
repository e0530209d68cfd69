#include "runtime/rag/readers/reader.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/mapped_file.h"

namespace rotor::runtime::rag {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<FileKind, const char*>, 6> kKinds = {{{FileKind::text, "text"},
                                                                     {FileKind::markdown, "markdown"},
                                                                     {FileKind::html, "html"},
                                                                     {FileKind::pdf, "pdf"},
                                                                     {FileKind::json_lines, "jsonl"},
                                                                     {FileKind::wikipedia, "wikipedia"}}};

constexpr std::array<std::pair<const char*, FileKind>, 14> kEndings = {{{".txt", FileKind::text},
                                                                        {".text", FileKind::text},
                                                                        {".rst", FileKind::text},
                                                                        {".org", FileKind::text},
                                                                        {".log", FileKind::text},
                                                                        {".md", FileKind::markdown},
                                                                        {".markdown", FileKind::markdown},
                                                                        {".html", FileKind::html},
                                                                        {".htm", FileKind::html},
                                                                        {".xhtml", FileKind::html},
                                                                        {".pdf", FileKind::pdf},
                                                                        {".jsonl", FileKind::json_lines},
                                                                        {".ndjson", FileKind::json_lines},
                                                                        {".xml.bz2", FileKind::wikipedia}}};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

std::string file_stem(const std::string& path) {
  return fs::path(path).stem().string();
}

}  // namespace

const char* name(FileKind kind) {
  return std::ranges::find(kKinds, kind, &std::pair<FileKind, const char*>::first)->second;
}

FileKind file_kind(const std::string& name) {
  std::string names;
  for (const auto& [kind, its_name] : kKinds) {
    if (name == its_name) return kind;
    names += (names.empty() ? "" : ", ") + std::string(its_name);
  }
  fail("kind of file: expected ", names, ", found \"", name, "\"");
}

std::optional<FileKind> kind_by_name(const std::string& path) {
  const std::string name = lower(fs::path(path).filename().string());
  for (const auto& [ending, kind] : kEndings) {
    if (name.ends_with(ending)) return kind;
  }
  // Wikipedia's dumps, unpacked: enwiki-latest-pages-articles.xml.
  if (name.ends_with(".xml") && name.find("pages-") != std::string::npos) return FileKind::wikipedia;
  return std::nullopt;
}

void read_documents(const std::string& path, const ReadOptions& options, const OnDocument& on_document) {
  if (!fs::exists(path)) fail(path, ": no such file");
  if (fs::is_directory(path)) fail(path, ": expected a file, found a folder");
  const FileKind kind = options.kind ? *options.kind : kind_by_name(path).value_or(FileKind::text);
  if (kind == FileKind::json_lines) return read_json_lines(path, options, on_document);
  if (kind == FileKind::wikipedia) return read_wikipedia(path, options, on_document);
  Document document;
  if (kind == FileKind::pdf) {
    document = read_pdf(path);
  } else {
    const MappedFile file(path, {.copy = true});  // people edit these while they are read
    const std::string text = to_utf8(file.text(), options.encoding, path);
    document = kind == FileKind::markdown ? read_markdown(text)
               : kind == FileKind::html   ? read_html(text)
                                          : read_plain_text(text);
  }
  document.id = document.source = path;
  if (document.title.empty()) document.title = file_stem(path);
  on_document(std::move(document));
}

}  // namespace rotor::runtime::rag
