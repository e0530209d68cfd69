#include "runtime/rag/readers/reader.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/readers/regular_file.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLargestText = int64_t{1} << 30;

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

std::string file_stem(const std::string& path) {
  return fs::path(path).stem().string();
}

/// What the first bytes of a file say whose name says nothing.
FileKind kind_by_contents(const std::string& path) {
  RegularFile file(path);
  std::array<char, 512> bytes;
  std::string_view begin(bytes.data(), file.read(bytes.data(), bytes.size()));
  if (begin.starts_with("%PDF-")) return FileKind::pdf;
  if (begin.starts_with("\xEF\xBB\xBF")) begin.remove_prefix(3);
  const std::string text = lower_case(trimmed(begin));
  return text.starts_with("<!doctype html") || text.starts_with("<html") ? FileKind::html : FileKind::text;
}

/// All of it; people may edit the file meanwhile.
std::string contents(const std::string& path) {
  RegularFile file(path);
  if (file.size() > kLargestText) {
    fail(path, ": expected a text of at most ", kLargestText, " bytes, found ", file.size(),
         ": split it, or make JSON lines of it");
  }
  std::string bytes(static_cast<size_t>(file.size()), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const size_t count = file.read(bytes.data() + filled, bytes.size() - filled);
    if (count == 0) break;
    filled += count;
  }
  bytes.resize(filled);
  return bytes;
}

Document read_text(FileKind kind, const std::string& path, const ReadOptions& options) {
  const std::string bytes = contents(path);
  std::string encoding = options.encoding;
  if (encoding.empty() && kind == FileKind::html) encoding = encoding_of_html(bytes);
  const std::string text = to_utf8(bytes, encoding, path);
  try {
    return kind == FileKind::markdown ? read_markdown(text)
           : kind == FileKind::html   ? read_html(text)
                                      : read_plain_text(text);
  } catch (const Error& e) {
    fail(path, ": ", e.what());
  }
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
  const std::string name = lower_case(fs::path(path).filename().string());
  for (const auto& [ending, kind] : kEndings) {
    if (name.ends_with(ending)) return kind;
  }
  // Wikipedia's dumps, unpacked: enwiki-latest-pages-articles.xml.
  if (name.ends_with(".xml") && name.find("pages-") != std::string::npos) return FileKind::wikipedia;
  return std::nullopt;
}

void read_documents(const std::string& path, const ReadOptions& options, const OnDocument& on_document) {
  const RegularFile is_readable(path);
  const auto by_name = kind_by_name(path);
  const FileKind kind = options.kind ? *options.kind : by_name ? *by_name : kind_by_contents(path);
  if (kind == FileKind::json_lines) return read_json_lines(path, options, on_document);
  if (kind == FileKind::wikipedia) return read_wikipedia(path, options, on_document);
  Document document = kind == FileKind::pdf ? read_pdf(path) : read_text(kind, path, options);
  document.id = document.source = path;
  if (document.title.empty()) document.title = file_stem(path);
  if (options.progress) options.progress(is_readable.size(), is_readable.size());
  on_document(std::move(document));
}

}  // namespace rotor::runtime::rag
